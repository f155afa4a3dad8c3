/* Who writes: this node asks the log, then the writer that it names; where there is none it becomes one, when its turn has come. */

#include "service.h"
#include <stdio.h>
#include <string.h>

/* So much longer each further node waits before it takes over. */
#define RANK_SECONDS 0.3
/* Whoever has created a segment may be about to commit its header. */
#define HEADER_SECONDS 1.0
#define TROUBLE_PAUSE 0.5
#define PASSING_PAUSE 0.1

static struct {
	job job;
	uint64_t known;
	/* The newest segment, the newest with a header, its writer and where that one is. */
	uint64_t newest, number;
	char writer[NAME_SIZE], address[NAME_SIZE];
	failure why;
} look;

static enum { LOOKING, FOLLOWING, ABOUT_TO_WRITE, WRITING } phase;
static char last_writer[NAME_SIZE], said[240];
static uint64_t newest, number;
static failure trouble;   /* of the look after which the last writer was asked all the same */

static void begin_look(timer *fired);
static timer pause = {.fire = begin_look};

static void look_run(job *todo) {
	beginning begin = {0};
	(void)todo;
	look.why = (failure){0};
	if (newest_segment(look.known, &look.newest, &look.why) && last_beginning(look.newest, &begin, &look.why)) {
		look.number = begin.end.segment;
		strcpy(look.writer, begin.head.writer);
		strcpy(look.address, begin.head.address);
	}
	bytes_free(&begin.tail);
}

static void in_trouble(const failure *why) {
	if (strcmp(said, why->text) != 0) say("has no writer: %s", why->text);
	snprintf(said, sizeof said, "%s", why->text);
	node_trouble(said);
	phase = LOOKING;
	timer_set(&pause, TROUBLE_PAUSE);
}

static void search_again(double seconds) {
	said[0] = '\0';
	node_trouble("");
	phase = LOOKING;
	timer_set(&pause, seconds);
}

/* One node is to come before another. */
static void wait_for_rank(void) {
	if (me.rank < 0) {
		search_again(PASSING_PAUSE);
		return;
	}
	phase = ABOUT_TO_WRITE;
	timer_set(&pause, (newest == number ? 0 : HEADER_SECONDS) + RANK_SECONDS * me.rank);
}

static void looked(job *done) {
	(void)done;
	if (look.why.kind != NO_FAILURE) {
		trouble = look.why;
		/* Without a volume of its own a node can still ask who wrote last. */
		if (phase == LOOKING && last_writer[0] != '\0') {
			phase = FOLLOWING;
			follow(last_writer);
		} else {
			in_trouble(&trouble);
		}
		return;
	}
	trouble = (failure){0};
	if (phase == ABOUT_TO_WRITE) {
		if (look.newest != newest || look.number != number) {
			search_again(0);
			return;
		}
		phase = WRITING;
		catch_up_stop();
		writer_begin();
		return;
	}
	newest = look.newest;
	number = look.number;
	snprintf(last_writer, sizeof last_writer, "%s", strcmp(look.writer, me.name) != 0 ? look.address : "");
	if (last_writer[0] == '\0') {
		wait_for_rank();
		return;
	}
	phase = FOLLOWING;
	follow(last_writer);
}

static void begin_look(timer *fired) {
	(void)fired;
	look.job = (job){.run = look_run, .done = looked};
	look.known = sessions.position.segment;
	thread_do(&looks, &look.job);
}

void search_begin(void) { begin_look(NULL); }

void search_link_ended(bool was_there) {
	if (was_there) search_again(0);
	else if (trouble.kind != NO_FAILURE) in_trouble(&trouble);
	else wait_for_rank();
}

void search_term_ended(const failure *why) {
	node_use(NULL);
	node_leave_followers();
	if (why->kind == DEPOSED) {
		say("does not write any more: %s", why->text);
		search_again(0);
	} else {
		in_trouble(why);
	}
}
