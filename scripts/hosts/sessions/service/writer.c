/* The one service that writes. It takes the log over, commits changes in rounds, and answers when both disks have them. */

#include "service.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* So much of changes goes into one batch; each follower gets it as one frame. */
#define BATCH_BYTES MAX_DATA
/* So long a round waits for more where it has fewer than three quarters of the last one's. */
#define GATHER_SECONDS 0.002
/* For so long a writer tries to go on with a volume that fails. Then another node may fare better. */
#define TROUBLE_SECONDS 1.0
#define TRY_AGAIN_SECONDS 0.2

term writing;

static work doing;
static bool is_busy;
static double busy_since;
static size_t expected;
static bool is_recovering, has_gathered;
static double began, deadline, others_end;
static queue round_updates, round_questions;

static void work_done(job *done);
static void take_log(timer *fired);
static void gathered(timer *fired);
static void commit_head(timer *fired);
static job lets_go = {.run = commit_let_go};
static timer tries_again = {.fire = take_log}, gathers = {.fire = gathered}, leases_end = {.fire = commit_head};

uint64_t log_time(uint64_t time, double started) { return time + (uint64_t)((monotonic_seconds() - started) * 1000); }

uint64_t log_now(void) { return log_time(writing.time, writing.started); }

double writer_stuck(void) {
	return is_busy && doing.kind != EXAMINE ? monotonic_seconds() - busy_since : 0;
}

void wake_writer(void) { writing.is_awake = true; }

bool has_lease(void) { return monotonic_seconds() < writing.leased; }

static void begin_work(work_kind kind) {
	doing.job = (job){.run = commit_run, .done = work_done};
	doing.kind = kind;
	doing.time = writing.time;
	doing.started = writing.started;
	is_busy = true;
	busy_since = monotonic_seconds();
	thread_do(&disk, &doing.job);
}

/* A term's beginning and its end. */

static void take_log(timer *fired) {
	(void)fired;
	doing.known = sessions.position;
	bytes_free(&doing.found.records);
	begin_work(TAKE_LOG);
}

static void begin_taking(void) {
	began = monotonic_seconds();
	take_log(NULL);
}

void writer_begin(void) {
	writing = (term){.is_on = true};
	round_updates = round_questions = (queue){0};
	is_recovering = has_gathered = false;
	expected = 0;
	doing.mine = 0;
	begin_taking();
}

static void end_term(const failure *why) {
	failure ended = *why;
	writing.is_on = writing.serves = false;
	writing.leased = 0;
	timer_stop(&gathers);
	timer_stop(&tries_again);
	timer_stop(&leases_end);
	house_end();
	queue_move(&round_updates, &writing.updates);
	queue_move(&round_questions, &writing.questions);
	requests_end();
	thread_do(&disk, &lets_go);
	search_term_ended(&ended);
}

static void taking_failed(const failure *why) {
	if (is_recovering && why->kind == IO_FAILURE && monotonic_seconds() < deadline) timer_set(&tries_again, TRY_AGAIN_SECONDS);
	else end_term(why);
}

/* What the header of a segment tells that follows a place. */
static head head_after(const position *previous) {
	uint64_t oldest = oldest_segment(&sessions);
	head told = {.has_previous = true, .next_version = writing.next_version, .previous = *previous};
	told.first = oldest > 0 && oldest < previous->segment ? oldest : previous->segment;
	strcpy(told.writer, me.name);
	strcpy(told.address, me.address);
	return told;
}

static void caught_up(const failure *why) {
	const unsigned char *at = doing.found.records.at, *end = at + doing.found.records.length;
	record each;
	if (why->kind != NO_FAILURE) {
		taking_failed(why);
		return;
	}
	if (sessions.time < doing.found.time) sessions.time = doing.found.time;
	writing.time = sessions.time;
	writing.started = monotonic_seconds();
	if (writing.next_version < sessions.next_version) writing.next_version = sessions.next_version;
	while (record_next(&at, end, &each))
		if (writing.next_version <= each.version) writing.next_version = each.version + 1;
	doing.head = head_after(&doing.found.position);
	/* The one before may have proved himself just before the segment was created. A term's own segments follow each other. */
	if (!is_recovering && monotonic_seconds() < others_end) timer_set(&leases_end, others_end - monotonic_seconds());
	else commit_head(NULL);
}

static void commit_head(timer *fired) {
	(void)fired;
	begin_work(COMMIT_HEAD);
}

static void apply_commits(void) {
	for (int i = 0; i < doing.commit_count; i++) {
		commit *made = &doing.commits[i];
		batch found;
		failure why;
		if (batch_at(made->data.at, made->data.length, &made->start, true, &found, &why) != A_BATCH) abort();
		state_apply(&sessions, &found);
		node_batch(&made->start, &made->data);
		writing.end = made->end;
		writing.commits++;
		bytes_free(&made->data);
	}
}

static void head_committed(void) {
	update *changed;
	if (doing.why.kind != NO_FAILURE) {
		taking_failed(&doing.why);
		return;
	}
	apply_commits();
	writing.leased = busy_since + LEASE_SECONDS;
	say("writes segment %llu, after %.2f s, with %llu sessions", (unsigned long long)sessions.position.segment,
		monotonic_seconds() - began, (unsigned long long)sessions.stored);
	if (!is_recovering) {
		writing.since = time(NULL);
		writing.serves = true;
		house_begin();
		node_use(&here);
	}
	is_recovering = false;
	/* Those of the round that failed come first. */
	queue_move(&writing.questions, &round_questions);
	queue_move(&round_questions, &writing.questions);
	while ((changed = queue_taken(&round_updates)) != NULL) update_again(changed);
	wake_writer();
}

/* Rounds. */

static void take_updates(void) {
	size_t size = 0;
	while (writing.updates.first != NULL) {
		const record *next = &((const update *)writing.updates.first)->known;
		size += record_size(next->id_length, next->length);
		/* What does not fit waits. */
		if (round_updates.count > 0 && size > BATCH_BYTES) {
			wake_writer();
			return;
		}
		queue_append(&round_updates, queue_taken(&writing.updates));
	}
}

static void begin_round(void) {
	has_gathered = false;
	timer_stop(&gathers);
	writing.is_awake = false;
	writing.round++;
	take_updates();
	queue_move(&writing.questions, &round_questions);
	expected = (round_updates.count + round_questions.count) * 3 / 4;
	doing.records.length = 0;
	for (const queued *each = round_updates.first; each != NULL; each = each->next) {
		const record *changed = &((const update *)each)->known;
		entry *known = state_get(&sessions, changed->id, changed->id_length);
		if (known != NULL) known->round = writing.round;
		record_add(&doing.records, changed);
	}
	if (writing.is_cleaning) house_copies(&doing.records, writing.end.segment);
	doing.end = writing.end;
	doing.rolls = writing.must_roll || writing.end.offset >= SEGMENT_BYTES;
	if (doing.rolls) doing.head = head_after(&writing.end);
	writing.must_roll = false;
	begin_work(ROUND);
}

static void round_done(void) {
	update *changed;
	question *asked;
	apply_commits();
	writing.leased = doing.why.kind == NO_FAILURE ? busy_since + LEASE_SECONDS : 0;
	if (doing.why.kind == IO_FAILURE) {
		/* Of a commit of which nobody knows what has become: it takes over as anyone would, then sees. */
		say("segment %llu is over: %s", (unsigned long long)writing.end.segment, doing.why.text);
		is_recovering = true;
		deadline = monotonic_seconds() + TROUBLE_SECONDS;
		begin_taking();
		return;
	}
	if (doing.why.kind != NO_FAILURE) {
		end_term(&doing.why);
		return;
	}
	while ((changed = queue_taken(&round_updates)) != NULL) update_settle(changed, true, changed->known.version);
	while ((asked = queue_taken(&round_questions)) != NULL) question_answer(asked);
	if (writing.is_cleaning) wake_writer();
}

static void examined(void) {
	if (doing.why.kind == DEPOSED) {
		/* Nobody may have asked this one since. */
		end_term(&doing.why);
		return;
	}
	if (doing.why.kind != NO_FAILURE) say("cannot examine the volume: %s", doing.why.text);
	else writing.is_full = doing.is_full;
	if (!doing.misses) return;
	writing.must_roll = true;
	wake_writer();
}

static void work_done(job *done) {
	(void)done;
	is_busy = false;
	switch (doing.kind) {
		case TAKE_LOG:
			/* A little more, since clocks differ. */
			others_end = monotonic_seconds() + LEASE_SECONDS * 1.05;
			if (doing.why.kind != NO_FAILURE) taking_failed(&doing.why);
			else catch_up(&doing.found.position, doing.newest, caught_up);
			break;
		case COMMIT_HEAD: head_committed(); break;
		case ROUND: round_done(); break;
		case EXAMINE: examined(); break;
	}
}

static void gathered(timer *fired) {
	(void)fired;
	has_gathered = true;
}

void writer_turn(void) {
	size_t count = writing.updates.count + writing.questions.count;
	if (!writing.serves || is_busy || is_recovering) return;
	if (writing.is_examined) {
		writing.is_examined = false;
		begin_work(EXAMINE);
		return;
	}
	if (!writing.is_awake) return;
	/* Those of the last round come again soon. A commit costs the bricks as much for one as for all. */
	if (count < expected && !has_gathered) {
		if (!gathers.is_set) timer_set(&gathers, GATHER_SECONDS);
	} else {
		begin_round();
	}
}
