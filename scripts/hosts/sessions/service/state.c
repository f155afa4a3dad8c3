/* All sessions up to a place in the log. It belongs to the loop alone. */

#include "service.h"
#include <stdlib.h>
#include <string.h>

void state_begin(state *of) {
	*of = (state){.next_version = 1, .entries = allocated(sizeof(entries))};
	memset(of->entries, 0, sizeof(entries));
}

static segment_size *segment_of(state *of, uint64_t number) {
	for (size_t i = of->segment_count; i-- > 0;)
		if (of->segments[i].number == number) return &of->segments[i];
	return NULL;
}

static void note_segment(state *of, uint64_t number, uint64_t size) {
	segment_size *known = segment_of(of, number);
	if (known == NULL) {
		of->segments = realloc(of->segments, (of->segment_count + 1) * sizeof *of->segments);
		if (of->segments == NULL) abort();
		known = &of->segments[of->segment_count++];
		*known = (segment_size){number, 0};
	}
	of->log_bytes += size - known->size;
	known->size = size;
}

static void forget_segments(state *of, uint64_t first) {
	size_t kept = 0;
	for (size_t i = 0; i < of->segment_count; i++)
		if (of->segments[i].number >= first) of->segments[kept++] = of->segments[i];
		else of->log_bytes -= of->segments[i].size;
	of->segment_count = kept;
}

void state_forget(state *of, entry *gone) {
	of->live -= record_size(gone->id_length, gone->length);
	of->stored -= gone->kind == STORED;
	entries_remove(of->entries, gone);
}

void state_forget_stale(state *of) {
	for (int i = 0; i < FORGET_AT_ONCE && of->entries->oldest != NULL; i++) {
		if (of->entries->oldest->segment >= of->entries->first) return;
		state_forget(of, of->entries->oldest);
	}
}

/* Of an id the greatest version counts; a copy moves it to a newer segment. */
static void apply_record(state *of, const record *known, uint64_t segment) {
	entry *before = entries_find(of->entries, known->id, known->id_length);
	if (before != NULL && before->segment >= of->entries->first && before->version > known->version) return;
	if (before != NULL) state_forget(of, before);
	entries_put(of->entries, known, segment);
	of->live += record_size(known->id_length, known->length);
	of->stored += known->kind == STORED;
	if (of->next_version <= known->version) of->next_version = known->version + 1;
}

void state_apply(state *of, const batch *confirmed) {
	const unsigned char *at = confirmed->records, *end = at + confirmed->length;
	const head *told = &confirmed->head;
	record each;
	if (confirmed->is_first) {
		if (of->next_version < told->next_version) of->next_version = told->next_version;
		forget_segments(of, told->first);
		note_segment(of, confirmed->start.segment, 0);
		if (told->has_previous && segment_of(of, told->previous.segment) != NULL)
			note_segment(of, told->previous.segment, told->previous.offset);
		/* What lives was copied, so the writer has forgotten the rest, too. */
		if (of->entries->first < told->first) of->entries->first = told->first;
		state_forget_stale(of);
	}
	while (record_next(&at, end, &each)) apply_record(of, &each, confirmed->start.segment);
	of->position = confirmed->end;
	note_segment(of, confirmed->end.segment, confirmed->end.offset);
	if (of->time < confirmed->time) of->time = confirmed->time;
}

entry *state_get(const state *of, const unsigned char *id, size_t length) { return entries_get(of->entries, id, length); }

uint64_t oldest_segment(const state *of) {
	const entry *oldest = of->entries->oldest;
	if (oldest == NULL) return 0;
	return oldest->segment > of->entries->first ? oldest->segment : of->entries->first;
}

bool is_forgotten(const entry *known, uint64_t time) { return known->kind == ENDED && entry_is_over(known, time); }

typedef struct {
	state *of;
	uint64_t time;
	bool (*is_held)(const entry *);
	void (*over)(void *context, entry *);
	void *context;
} sweep;

static void look(void *context, entry *at) {
	sweep *swept = context;
	if (at->segment < swept->of->entries->first) state_forget(swept->of, at);
	else if (!entry_is_over(at, swept->time) || (swept->is_held != NULL && swept->is_held(at))) return;
	else if (at->kind == ENDED) state_forget(swept->of, at);
	else if (swept->over != NULL) swept->over(swept->context, at);
}

void state_sweep(state *of, size_t count, uint64_t time, bool (*is_held)(const entry *), void (*over)(void *, entry *), void *context) {
	sweep swept = {of, time, is_held, over, context};
	entries_look(of->entries, count, look, &swept);
}
