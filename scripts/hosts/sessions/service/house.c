/* What the writer does beside: once a second it sees whether it still writes, ends what is over, and cleans a log that has become
 * long. */

#include "service.h"

/* So often it does all this. */
#ifndef HOUSE_SECONDS
#define HOUSE_SECONDS 1
#endif
/* So much of what an old segment still holds is copied with one commit. */
#define COPY_BYTES (128 << 10)
/* So often each session is looked at, whether its life is over, in seconds. */
#define SWEEP_SECONDS 60
/* So many are looked at in one go, and so long everybody else has then. */
#define LOOKS 1000
#define LOOK_PAUSE 0.005
/* With so many ends that wait for their commit there is no haste to find more. */
#define MAX_ENDS 1000

static size_t to_look;

static bool is_held(const entry *known) { return turn_of(known->text, known->id_length) != NULL; }

static void over(void *context, entry *known) {
	(void)context;
	/* One may be found again before its end is in the log; that changes nothing. */
	update_end(known);
}

static void look(timer *fired) {
	size_t count = to_look < LOOKS ? to_look : LOOKS;
	if (writing.updates.count < MAX_ENDS) state_sweep(&sessions, count, log_now(), is_held, over, NULL);
	to_look -= count;
	if (to_look > 0) timer_set(fired, LOOK_PAUSE);
}

static timer looking = {.fire = look};

static bool is_too_long(void) {
	uint64_t live = sessions.live;
	if (sessions.segment_count < 3) return false;
	return sessions.log_bytes > (writing.is_full ? live + live / 4 + COPY_BYTES : 2 * (live + SEGMENT_BYTES));
}

static void keep_house(timer *fired) {
	writing.is_examined = true;
	to_look = sessions.entries->count / SWEEP_SECONDS + LOOKS / 4;
	if (!looking.is_set) look(&looking);
	writing.is_cleaning = writing.is_cleaning || is_too_long();
	if (writing.must_roll || writing.is_cleaning || writing.updates.count > 0) wake_writer();
	timer_set(fired, HOUSE_SECONDS);
}

static timer keeping = {.fire = keep_house};

void house_begin(void) { timer_set(&keeping, HOUSE_SECONDS); }

void house_end(void) {
	timer_stop(&keeping);
	timer_stop(&looking);
}

void house_copies(bytes *into, uint64_t last) {
	const entry *each;
	uint64_t oldest = sessions.segments[0].number;
	size_t before = into->length;
	state_forget_stale(&sessions);
	each = sessions.entries->oldest;
	/* There are more of those that are forgotten. */
	if (each != NULL && each->segment < sessions.entries->first) return;
	for (; oldest != last && each != NULL && each->segment == oldest && into->length - before < COPY_BYTES; each = each->newer)
		if (each->round != writing.round) {
			record copy = entry_record(each);
			record_add(into, &copy);
		}
	if (into->length > before) return;
	/* The segment holds nothing more, and goes. */
	writing.is_cleaning = false;
	writing.must_roll = oldest != last;
}
