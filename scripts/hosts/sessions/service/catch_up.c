/* What was read on its way to the loop. A thread reads the log and sees that it is true; the loop applies it, a part in each
 * turn, since what is known of sessions is the loop's alone. */

#include "service.h"
#include <stdlib.h>
#include <string.h>

/* A batch that is true, or that what was read before does not count. */
typedef struct {
	queued queued;
	bool begins_anew;
	position start;
	size_t length;
	unsigned char data[];
} piece;

typedef struct {
	job job;
	position known, until;
	uint64_t newest;
	failure why;
	void (*ended)(const failure *why);
	bool is_read;                     /* by the thread, to its end */
	pthread_mutex_t lock;             /* of all below */
	pthread_cond_t taken;
	queue pieces;
	size_t waiting_bytes;
	bool is_over;                     /* nobody wants it any more */
} reading;

typedef struct { job job; entries *entries; } leaving;

state sessions;
static reading *now;

static bool give(reading *from, piece *read) {
	bool goes_on;
	pthread_mutex_lock(&from->lock);
	while (from->waiting_bytes > READ_AHEAD && !from->is_over) pthread_cond_wait(&from->taken, &from->lock);
	goes_on = !from->is_over;
	if (goes_on) {
		queue_append(&from->pieces, read);
		from->waiting_bytes += read->length;
	}
	pthread_mutex_unlock(&from->lock);
	if (goes_on) loop_wake();
	else free(read);
	return goes_on;
}

static bool take_batch(void *context, const batch *found, const unsigned char *data) {
	size_t length = BATCH_SIZE + number_at(data + 4, 4);
	piece *read = allocated(sizeof *read + length);
	*read = (piece){.length = length, .start = found->start};
	memcpy(read->data, data, length);
	return give(context, read);
}

static void read_log(job *todo) {
	reading *from = (reading *)todo;
	taker to = {take_batch, from};
	position beginning = {0};
	piece *anew;
	if (read_on(&from->known, &from->until, from->newest, to, &from->why) || from->why.kind != LOG_FAILURE) return;
	/* What was followed may have been another end than the one that counts. */
	anew = allocated(sizeof *anew);
	*anew = (piece){.begins_anew = true};
	from->why = (failure){0};
	if (give(from, anew)) read_on(&beginning, &from->until, from->newest, to, &from->why);
}

static piece *next_piece(reading *of) {
	piece *next;
	pthread_mutex_lock(&of->lock);
	next = queue_taken(&of->pieces);
	if (next != NULL) {
		of->waiting_bytes -= next->length;
		pthread_cond_signal(&of->taken);
	}
	pthread_mutex_unlock(&of->lock);
	return next;
}

static void free_reading(reading *of) {
	piece *each;
	while ((each = next_piece(of)) != NULL) free(each);
	pthread_mutex_destroy(&of->lock);
	pthread_cond_destroy(&of->taken);
	free(of);
}

static void log_read(job *done) {
	reading *of = (reading *)done;
	of->is_read = true;
	if (of != now) free_reading(of);
}

static void free_entries(job *todo) {
	leaving *gone = (leaving *)todo;
	entries_free(gone->entries);
	free(gone);
}

/* A million of them take a moment to go. */
static void begin_anew(void) {
	leaving *gone = allocated(sizeof *gone);
	*gone = (leaving){.job = {.run = free_entries}, .entries = sessions.entries};
	thread_do(&reader, &gone->job);
	free(sessions.segments);
	state_begin(&sessions);
}

void catch_up(const position *until, uint64_t newest, void (*ended)(const failure *why)) {
	catch_up_stop();
	now = allocated(sizeof *now);
	*now = (reading){
		.job = {.run = read_log, .done = log_read}, .newest = newest, .ended = ended, .known = sessions.position,
	};
	now->until = *until;
	pthread_mutex_init(&now->lock, NULL);
	pthread_cond_init(&now->taken, NULL);
	thread_do(&reader, &now->job);
}

void catch_up_stop(void) {
	reading *of = now;
	now = NULL;
	if (of == NULL) return;
	pthread_mutex_lock(&of->lock);
	of->is_over = true;
	pthread_cond_signal(&of->taken);
	pthread_mutex_unlock(&of->lock);
	if (of->is_read) free_reading(of);
}

void catch_up_turn(void) {
	reading *of = now;
	piece *next = NULL;
	failure why;
	if (of == NULL) return;
	for (size_t done = 0; done < APPLY_BYTES && (next = next_piece(of)) != NULL; done += next->length, free(next)) {
		batch found;
		if (next->begins_anew) begin_anew();
		else if (batch_at(next->data, next->length, &next->start, true, &found, &why) == A_BATCH) state_apply(&sessions, &found);
	}
	if (next != NULL) {
		loop_again();
	} else if (of->is_read) {
		void (*ended)(const failure *) = of->ended;
		why = of->why;
		now = NULL;
		free_reading(of);
		state_forget_stale(&sessions);
		ended(&why);
	}
}
