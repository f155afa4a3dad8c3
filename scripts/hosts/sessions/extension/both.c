/* A session while the cluster changes from files to the log, or back: it may be in either. docs/decisions/23-changing-store.md
 * tells in which order nodes come and go here.
 *
 * One rule says where a session is: in its file, if that holds anything; else in the log. So it is brought to the log by a change
 * there, and then its file is emptied; and to its file by a record there, and then the log's ends. Whatever stops between these
 * two leaves a copy where it does not count.
 *
 * A request has the file's lock and then the log's turn, so nodes that bring sessions here and nodes that bring them there may
 * serve beside each other. */

#include "cluster.h"

struct record {
	record *file, *log;
	bool is_for_log; /* where it is brought */
	bool is_there;   /* and nowhere else */
};

static const record_store *store_of(const record *held) { return held->is_for_log ? &record_log : &record_files; }
static record *home_of(const record *held) { return held->is_for_log ? held->log : held->file; }

static bool has_file(const record *held) { return record_files.holds(held->file) != NEVER_STORED; }
static bool has_log(const record *held) { return record_log.holds(held->log) != NEVER_STORED; }

static bool is_in_log(const char *id) {
	record *found = record_log.lock(id, false, true);
	if (found != NULL) record_log.release(found);
	return found != NULL;
}

/* The file's lock comes first, always. Nobody's id gets no file, unless it is to be somebody's. */
static bool lock_both(record *held, const char *id, bool create, bool expected) {
	held->file = record_files.lock(id, create, expected);
	if (held->file == NULL && *problem == '\0' && is_in_log(id)) held->file = record_files.lock(id, true, expected);
	if (held->file != NULL) held->log = record_log.lock(id, true, expected);
	return held->log != NULL;
}

static void both_release(record *held) {
	if (held->log != NULL) record_log.release(held->log);
	if (held->file != NULL) record_files.release(held->file);
	free(held);
}

static record *both_lock(const char *id, bool create, bool expected) {
	record *held = calloc(1, sizeof *held);
	*problem = '\0';
	if (held == NULL) {
		fails("there is no memory for it");
		return NULL;
	}
	held->is_for_log = strcmp(cluster.moves_to, "log") == 0;
	if (lock_both(held, id, create, expected)) return held;
	both_release(held);
	return NULL;
}

static const char *both_id(const record *held) { return record_files.id(held->file); }
static record_state both_holds(const record *held) { return store_of(held)->holds(home_of(held)); }
static time_t both_changed(const record *held) { return store_of(held)->changed(home_of(held)); }
static time_t both_ends(const record *held) { return store_of(held)->ends(home_of(held)); }

/* Brings what counts to the other store, where it ends when it would have. */
static bool bring(const record_store *from, record *old, const record_store *to, record *new) {
	zend_string *data;
	time_t now = time(NULL);
	bool done;
	if (!from->read(old, &data)) return false;
	if (from->holds(old) == STORED) done = to->write(new, ZSTR_VAL(data), ZSTR_LEN(data), MAX(from->ends(old) - now, 1));
	else if (now - from->changed(old) < REPLACED_SECONDS) done = to->replace(new);
	else done = to->holds(new) == NEVER_STORED || to->end(new);
	zend_string_release(data);
	return done && from->end(old);
}

/* Ends a copy in the log that an interrupted change has left, once its file is seen to be whole. */
static bool end_copy(record *held) {
	zend_string *data;
	if (!record_files.read(held->file, &data)) return false;
	zend_string_release(data);
	return record_log.end(held->log);
}

static bool settle(record *held) {
	if (has_file(held) && held->is_for_log) return bring(&record_files, held->file, &record_log, held->log);
	if (has_file(held)) return !has_log(held) || end_copy(held);
	return held->is_for_log || !has_log(held) || bring(&record_log, held->log, &record_files, held->file);
}

/* Whoever has a session's turn reads it first. PHP's memory may end meanwhile, and both locks are known to the request by then. */
static bool both_read(record *held, zend_string **data) {
	held->is_there = held->is_there || settle(held);
	return held->is_there && store_of(held)->read(home_of(held), data);
}

static bool both_write(record *held, const char *data, size_t length, zend_long lifetime) {
	return store_of(held)->write(home_of(held), data, length, lifetime);
}

static bool both_end(record *held) { return store_of(held)->end(home_of(held)); }
static bool both_replace(record *held) { return store_of(held)->replace(home_of(held)); }

static int both_become_plain(record *held) {
	fails("its store changes");
	return -1;
}

const record_store record_both = {
	both_lock, both_id, both_holds, both_changed, both_ends,
	both_read, both_write, both_end, both_replace, both_become_plain, both_release,
};
