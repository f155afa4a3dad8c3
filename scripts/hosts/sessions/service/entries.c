/* What is known of each id, in little memory and without long pauses.
 *
 * A table of a million ids stops everything for a moment when it grows. So there are many small ones, each of which grows by
 * itself. All entries are in one list, too, in the order of the log. */

#include "service.h"
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define LEAST_BUCKETS 8

uint64_t hash_of(const unsigned char *id, size_t length) {
	static uint64_t seed;
	uint64_t hash;
	/* Visitors choose what they send as an id. */
	while (seed == 0)
		if (getrandom(&seed, sizeof seed, 0) != sizeof seed) seed = 0;
	hash = seed;
	for (size_t i = 0; i < length; i++) hash = (hash ^ id[i]) * 0x100000001b3;
	return hash ^ hash >> 29;
}

static shard *shard_of(entries *all, uint64_t hash) { return &all->shards[hash % SHARDS]; }

static entry **bucket_of(shard *among, uint64_t hash) { return &among->buckets[(hash / SHARDS) & (among->size - 1)]; }

static entry **place_of(entries *all, const unsigned char *id, size_t length) {
	uint64_t hash = hash_of(id, length);
	shard *among = shard_of(all, hash);
	entry **at;
	if (among->size == 0) return NULL;
	for (at = bucket_of(among, hash); *at != NULL; at = &(*at)->next)
		if ((*at)->id_length == length && memcmp((*at)->text, id, length) == 0) return at;
	return NULL;
}

entry *entries_get(entries *all, const unsigned char *id, size_t length) {
	entry **at = place_of(all, id, length);
	return at != NULL && (*at)->segment >= all->first ? *at : NULL;
}

entry *entries_find(entries *all, const unsigned char *id, size_t length) {
	entry **at = place_of(all, id, length);
	return at != NULL ? *at : NULL;
}

static void grow(shard *among) {
	uint32_t size = among->size;
	entry **before = among->buckets, *each, *next;
	among->size = size == 0 ? LEAST_BUCKETS : 2 * size;
	among->buckets = allocated(among->size * sizeof *among->buckets);
	memset(among->buckets, 0, among->size * sizeof *among->buckets);
	for (uint32_t i = 0; i < size; i++)
		for (each = before[i]; each != NULL; each = next) {
			entry **at = bucket_of(among, hash_of(each->text, each->id_length));
			next = each->next;
			each->next = *at;
			*at = each;
		}
	free(before);
}

void entries_put(entries *all, const record *known, uint64_t segment) {
	uint64_t hash = hash_of(known->id, known->id_length);
	shard *among = shard_of(all, hash);
	entry *made = allocated(sizeof *made + known->id_length + known->length), **at;
	if (among->count == among->size) grow(among);
	at = bucket_of(among, hash);
	*made = (entry){
		.next = *at, .older = all->newest, .segment = segment, .version = known->version, .changed = known->changed,
		.length = known->length, .lifetime = known->lifetime, .kind = known->kind, .id_length = known->id_length,
	};
	memcpy(made->request, known->request, REQUEST_SIZE);
	memcpy(made->text, known->id, known->id_length);
	memcpy(made->text + known->id_length, known->data, known->length);
	*at = made;
	*(all->newest != NULL ? &all->newest->newer : &all->oldest) = made;
	all->newest = made;
	among->count++;
	all->count++;
}

void entries_remove(entries *all, entry *gone) {
	uint64_t hash = hash_of(gone->text, gone->id_length);
	shard *among = shard_of(all, hash);
	entry **at = bucket_of(among, hash);
	while (*at != gone) at = &(*at)->next;
	*at = gone->next;
	*(gone->older != NULL ? &gone->older->newer : &all->oldest) = gone->newer;
	*(gone->newer != NULL ? &gone->newer->older : &all->newest) = gone->older;
	among->count--;
	all->count--;
	free(gone);
}

record entry_record(const entry *of) {
	record known = {
		.kind = of->kind, .id_length = of->id_length, .length = of->length, .lifetime = of->lifetime, .version = of->version,
		.changed = of->changed, .id = of->text, .data = of->text + of->id_length,
	};
	memcpy(known.request, of->request, REQUEST_SIZE);
	return known;
}

bool entry_is_over(const entry *of, uint64_t time) { return time >= of->changed + (uint64_t)of->lifetime * 1000; }

void entries_look(entries *all, size_t count, void (*look)(void *context, entry *at), void *context) {
	for (size_t looked = 0; looked < count;) {
		shard *among = &all->shards[all->shard_looked];
		if (all->bucket_looked >= among->size) {
			all->bucket_looked = 0;
			all->shard_looked = (all->shard_looked + 1) % SHARDS;
			/* The next call begins anew. */
			if (all->shard_looked == 0) return;
			continue;
		}
		for (entry *at = among->buckets[all->bucket_looked++], *next; at != NULL; at = next, looked++) {
			next = at->next;
			look(context, at);
		}
	}
}

void entries_free(entries *all) {
	for (entry *each = all->oldest, *newer; each != NULL; each = newer) {
		newer = each->newer;
		free(each);
	}
	for (int i = 0; i < SHARDS; i++) free(all->shards[i].buckets);
	free(all);
}
