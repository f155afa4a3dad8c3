/* The writer's part that waits for the volume. Who writes after segment n first creates n + 1: that creation decides, and no
 * lock or clock does. After each commit it looks for the next segment, and asks the mount whether the bricks still have its own. */

#include "service.h"
#include <string.h>

/* With less room no segment is begun. */
#define BEGIN_FREE (1 << 20)
/* With less room than this new sessions are refused; what is there goes on, and is cleaned. */
#define KEPT_FREE (4 * (uint64_t)SEGMENT_BYTES)
/* A segment that a brick misses is followed by another one so many seconds after the last such one. */
#define ROLL_SECONDS 5

static segment own = {.file = -1};
static uint64_t removes_below;   /* segments before it go with the next commit; 0: none does */
static double rolls_at;

/* A look that another thread begins when the write has returned, beside the `fdatasync`. */
static struct {
	job job;
	pthread_mutex_t lock;
	pthread_cond_t ended;
	bool has_ended;
	failure why;
} look = {.lock = PTHREAD_MUTEX_INITIALIZER, .ended = PTHREAD_COND_INITIALIZER};

/* That no segment has followed this one and gone again: whoever removes one has removed those before it. */
static bool must_be_there(uint64_t number, failure *why) {
	int exists = segment_exists(number, why);
	return exists == 0 ? fails(why, DEPOSED, "segment %llu is gone, so others have followed it", (unsigned long long)number)
		: exists > 0;
}

/* That nobody else writes. The next one's name is looked up first: it may come and go between two looks in another order. */
static bool must_be_last(uint64_t number, failure *why) {
	int exists = segment_exists(number + 1, why);
	if (exists > 0) return fails(why, DEPOSED, "segment %llu is there", (unsigned long long)number + 1);
	return exists == 0 && must_be_there(number, why);
}

static void look_run(job *todo) {
	failure why = {0};
	(void)todo;
	must_be_last(own.number, &why);
	pthread_mutex_lock(&look.lock);
	look.why = why;
	look.has_ended = true;
	pthread_cond_signal(&look.ended);
	pthread_mutex_unlock(&look.lock);
}

static void begin_look(void) {
	look.has_ended = false;
	look.job.run = look_run;
	thread_do(&beside, &look.job);
}

static bool end_look(failure *why) {
	pthread_mutex_lock(&look.lock);
	while (!look.has_ended) pthread_cond_wait(&look.ended, &look.lock);
	pthread_mutex_unlock(&look.lock);
	if (look.why.kind != NO_FAILURE) *why = look.why;
	return look.why.kind == NO_FAILURE;
}

static bool begin_segment(work *of, uint64_t number) {
	uint64_t left, total;
	segment_close(&own);
	if (!room_of_volume(&left, &total, &of->why)) return false;
	/* A segment would be there, and stay without a header. */
	if (left < BEGIN_FREE) return fails(&of->why, IO_FAILURE, "there is no room for a segment");
	if (!segment_create(&own, number, &of->why)) return false;
	/* Whatever becomes of it, it is no other's. */
	of->mine = number;
	if (segment_open(&own, &of->why)) return true;
	segment_close(&own);
	return false;
}

/* Commits a batch: when it returns, both disks have it, and this service is the writer. */
static bool put(work *of, bytes *data, const position *start, bool is_first) {
	commit *made = &of->commits[of->commit_count];
	bool is_synced, is_writer;
	if (own.file < 0) return fails(&of->why, IO_FAILURE, "no segment is open");
	*made = (commit){.is_first = is_first, .start = *start};
	batch_end(data, is_first, start, log_time(of->time, of->started), &made->end);
	if (!segment_write(&own, data->at, data->length, start->offset, &of->why)) return false;
	begin_look();
	is_synced = segment_sync(&own, &of->why);
	is_writer = end_look(&of->why);
	/* What the bricks have is asked when all three have returned. */
	if (!is_synced || !is_writer || !segment_check(&own, &of->why)) return false;
	made->data = *data;
	*data = (bytes){0};
	of->commit_count++;
	of->end = made->end;
	return true;
}

static bool commit_head(work *of, const unsigned char *records, size_t length) {
	bytes data = {0};
	bool well;
	batch_begin(&data, &of->head);
	bytes_add(&data, records, length);
	well = put(of, &data, &(position){.segment = own.number}, true);
	bytes_free(&data);
	if (well) removes_below = of->head.first;
	return well;
}

static bool roll(work *of) {
	uint64_t before = of->end.segment;
	return begin_segment(of, before + 1) && must_be_there(before, &of->why) && commit_head(of, NULL, 0);
}

/* One commit, or where there is nothing to commit the proof that this service is the writer. */
static bool commit_round(work *of) {
	bytes data = {0};
	bool well;
	if (of->rolls && !roll(of)) return false;
	if (of->records.length == 0 && own.file >= 0 && is_everywhere(&own))
		return must_be_last(own.number, &of->why) && segment_check(&own, &of->why);
	bytes_reserve(&data, BATCH_SIZE + of->records.length + BLOCK);
	batch_begin(&data, NULL);
	bytes_add(&data, of->records.at, of->records.length);
	well = put(of, &data, &of->end, false);
	bytes_free(&data);
	/* Whoever takes over now finds the end behind the header, and asks nothing of what is older. */
	if (well && removes_below > 0) remove_segments(removes_below);
	if (well) removes_below = 0;
	return well;
}

/* Creates the next segment, then reads the end of what was there. */
static bool take_log(work *of) {
	uint64_t known = of->known.segment > of->mine ? of->known.segment : of->mine, mine = of->mine;
	if (!newest_segment(known, &of->newest, &of->why)) return false;
	if (mine > 0 && of->newest != mine)
		return fails(&of->why, DEPOSED, "segment %llu is not mine", (unsigned long long)of->newest);
	removes_below = 0;
	return begin_segment(of, of->newest + 1) && read_tail(of->newest, &of->known, &of->found, &of->why);
}

/* Once a second: whether it still writes, that all bricks have the segment, and that there is room. */
static bool examine(work *of) {
	uint64_t left, total;
	bool misses = false;
	of->misses = false;
	if (own.file < 0) return true;
	if (!must_be_last(own.number, &of->why)) return false;
	if (monotonic_seconds() >= rolls_at) {
		if (!misses_brick(&own, &misses, &of->why)) return false;
		/* A brick that is back gets the new segment at once, and heals the old one, which nobody holds open then. */
		of->misses = misses;
		if (misses) rolls_at = monotonic_seconds() + ROLL_SECONDS;
	}
	if (!room_of_volume(&left, &total, &of->why)) return false;
	of->is_full = left < (KEPT_FREE < total / 8 ? KEPT_FREE : total / 8);
	return true;
}

void commit_run(job *todo) {
	work *of = (work *)todo;
	of->why = (failure){0};
	of->commit_count = 0;
	switch (of->kind) {
		case TAKE_LOG: take_log(of); break;
		case COMMIT_HEAD: commit_head(of, of->found.records.at, of->found.records.length); break;
		case ROUND: commit_round(of); break;
		case EXAMINE: examine(of); break;
	}
}

void commit_let_go(job *todo) {
	(void)todo;
	segment_close(&own);
}
