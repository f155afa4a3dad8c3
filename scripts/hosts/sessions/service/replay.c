/* How the log is read. None of this is for the loop. */

#include "service.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* So much a mount asks for at once. */
#define READ_BYTES (1 << 17)

/* A part of a segment in memory. */
typedef struct {
	int file;
	unsigned char *at;     /* for reads past the page cache: memory in whole blocks */
	uint64_t begin;        /* where in the segment the part begins; a whole block */
	size_t length, room;
	bool is_whole;         /* there is nothing behind it */
} window;

static void make_room(window *of, uint64_t from, size_t length) {
	size_t skipped = from - of->begin;
	unsigned char *made;
	if (skipped > of->length) skipped = of->length;
	of->length -= skipped;
	if (length + READ_BYTES <= of->room) {
		memmove(of->at, of->at + skipped, of->length);
	} else {
		of->room = 2 * (length + READ_BYTES);
		of->room -= of->room % BLOCK;
		if (posix_memalign((void **)&made, BLOCK, of->room) != 0) abort();
		if (of->length > 0) memcpy(made, of->at + skipped, of->length);
		free(of->at);
		of->at = made;
	}
	of->begin = from;
}

/* Has so many bytes in memory from a whole block on, or all that there are. */
static bool read_from(window *of, uint64_t from, size_t length, failure *why) {
	if (from < of->begin + of->length && length <= of->begin + of->length - from) return true;
	if (of->room < length + READ_BYTES || from - of->begin + length + READ_BYTES > of->room) make_room(of, from, length);
	while (!of->is_whole && of->begin + of->length < from + length) {
		ssize_t count = pread(of->file, of->at + of->length, READ_BYTES, of->begin + of->length);
		if (count < 0) return fails_with_errno(why, "a segment cannot be read");
		of->length += count;
		of->is_whole = count % BLOCK != 0 || count == 0;
	}
	return true;
}

static size_t left_from(const window *of, uint64_t from) {
	return from < of->begin + of->length ? of->begin + of->length - from : 0;
}

/* The batch that begins there, whole and true. */
static batch_found next_batch(window *of, const position *start, batch *found, failure *why) {
	const unsigned char *at;
	if (!read_from(of, start->offset, BLOCK, why)) return BAD_BATCH;
	at = of->at + (start->offset - of->begin);
	if (left_from(of, start->offset) < BATCH_SIZE || !is_batch(at, start)) return NO_BATCH;
	if (!read_from(of, start->offset, batch_length(at), why)) return BAD_BATCH;
	return batch_at(of->at + (start->offset - of->begin), left_from(of, start->offset), start, false, found, why);
}

/* A batch behind a place where none is may say that it was confirmed. So it was damaged later, and is no end. */
static bool is_end(window *of, const position *end, failure *why) {
	for (uint64_t at = end->offset + BLOCK; read_from(of, at, BLOCK, why); at += BLOCK) {
		if (left_from(of, at) < BATCH_SIZE) return true;
		if (confirms(of->at + (at - of->begin), end, at))
			return fails(why, LOG_FAILURE, "segment %llu is damaged at %llu",
				(unsigned long long)end->segment, (unsigned long long)end->offset);
	}
	return false;
}

/* Gives all batches from there on to `taker`, to a place or to where no whole and true one is; tells where it ended. */
static bool read_batches(position *at, uint64_t until, taker to, failure *why) {
	window part = {.begin = at->offset};
	batch found;
	batch_found result = NO_BATCH;
	if ((part.file = segment_to_read(at->segment, why)) < 0) return false;
	while (at->offset < until && (result = next_batch(&part, at, &found, why)) == A_BATCH) {
		if (!to.take(to.context, &found, part.at + (at->offset - part.begin))) {
			fails(why, IO_FAILURE, "it is not wanted any more");
			result = BAD_BATCH;
			break;
		}
		*at = found.end;
	}
	if (result == NO_BATCH && until == UINT64_MAX && !is_end(&part, at, why)) result = BAD_BATCH;
	close(part.file);
	free(part.at);
	return result != BAD_BATCH;
}

static bool take_first(void *context, const batch *found, const unsigned char *data) {
	beginning *into = context;
	(void)data;
	into->is_there = found->is_first;
	into->end = found->end;
	into->head = found->head;
	into->time = found->time;
	into->tail.length = 0;
	bytes_add(&into->tail, found->records, found->length);
	return true;
}

/* The first batch of a segment; none where there is none yet, or its writer has left none. */
static bool beginning_of(uint64_t number, beginning *found, failure *why) {
	position at = {.segment = number};
	found->is_there = false;
	return read_batches(&at, 1, (taker){take_first, found}, why);
}

bool last_beginning(uint64_t newest, beginning *found, failure *why) {
	for (; newest > 0; newest--) {
		if (!beginning_of(newest, found, why)) return false;
		if (found->is_there) return true;
	}
	return fails(why, LOG_FAILURE, "no segment has a beginning");
}

static bool take_last(void *context, const batch *found, const unsigned char *data) {
	tail *last = context;
	(void)data;
	/* Its writer has begun it when all before it was confirmed. */
	last->position = found->start;
	last->records.length = 0;
	bytes_add(&last->records, found->records, found->length);
	if (last->time < found->time) last->time = found->time;
	return true;
}

bool read_tail(uint64_t newest, const position *known, tail *found, failure *why) {
	beginning begin = {0};
	position start, at;
	bool well = last_beginning(newest, &begin, why);
	*found = (tail){0};
	if (well) {
		bool is_known = known->segment == begin.end.segment && known->offset >= begin.end.offset;
		at = start = is_known ? *known : begin.end;
		found->position = start;
		found->time = begin.time;
		well = read_batches(&at, UINT64_MAX, (taker){take_last, found}, why);
		if (at.offset == start.offset && !is_known && begin.head.has_previous) {
			/* The header itself may be on one disk only. Without one before it, the installation has waited. */
			found->position = begin.head.previous;
			found->records = begin.tail;
			begin.tail = (bytes){0};
		}
	}
	bytes_free(&begin.tail);
	return well;
}

/* The places where the segments that count end, from the last one down to `oldest`: what the headers say. */
typedef struct { position *at; size_t count; } ends;

static bool find_ends(ends *of, const position *until, uint64_t newest, uint64_t oldest, failure *why) {
	beginning begin = {0}, newer = {0};
	uint64_t least = until->segment, first;
	bool well = beginning_of(until->segment, &begin, why) && (newest <= until->segment || last_beginning(newest, &newer, why));
	/* What counts is told by the newest header; the one in which the place lies may tell of segments that are gone. */
	first = newest > until->segment ? newer.head.first : begin.is_there ? begin.head.first : until->segment;
	if (first < oldest) first = oldest;
	bytes_free(&newer.tail);
	*of = (ends){allocated(sizeof *of->at), 1};
	of->at[0] = *until;
	while (well && begin.is_there && begin.head.has_previous && begin.head.previous.segment >= first) {
		of->at = realloc(of->at, (of->count + 1) * sizeof *of->at);
		if (of->at == NULL) abort();
		of->at[of->count++] = begin.head.previous;
		least = begin.head.previous.segment;
		well = beginning_of(least, &begin, why);
	}
	bytes_free(&begin.tail);
	if (!well || least <= first) return well;
	return fails(why, LOG_FAILURE, "segment %llu is missing", (unsigned long long)first);
}

static const position *end_of(const ends *all, uint64_t segment) {
	for (size_t i = 0; i < all->count; i++)
		if (all->at[i].segment == segment) return &all->at[i];
	return NULL;
}

bool read_on(const position *known, const position *until, uint64_t newest, taker to, failure *why) {
	ends all;
	position from = *known;
	const position *end;
	bool well = find_ends(&all, until, newest, from.segment, why);
	if (well && from.segment == 0) from = (position){.segment = all.at[all.count - 1].segment};
	else if (well && ((end = end_of(&all, from.segment)) == NULL || from.offset > end->offset))
		well = fails(why, LOG_FAILURE, "the log does not lead on from %llu:%llu",
			(unsigned long long)from.segment, (unsigned long long)from.offset);
	for (size_t i = all.count; well && i-- > 0;) {
		if (all.at[i].segment < from.segment) continue;
		if (all.at[i].segment > from.segment) from = (position){.segment = all.at[i].segment};
		well = read_batches(&from, all.at[i].offset, to, why);
		if (well && !is_same_position(&from, &all.at[i]))
			well = fails(why, LOG_FAILURE, "segment %llu is damaged at %llu",
				(unsigned long long)from.segment, (unsigned long long)from.offset);
	}
	free(all.at);
	return well;
}
