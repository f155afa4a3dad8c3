/* php_cluster: what PHP needs to keep the promise of docs/sessions.md, whatever a page does.
 *
 *   module.c   what PHP loads: settings, and what happens at the start and the end of a request
 *   front.c    holds an answer back as long as a session is open and not stored
 *   store.c    PHP's session module, in the place of its own module `files`
 *   record.c   the file of one session: lock, checked record, durable change
 *   log.c      a session in the log, which the node's session service keeps: turn, what is stored, change
 *   both.c     a session while the cluster changes from one of these to the other
 *   id.c       session ids, and which of them this cluster has drawn
 *
 * Each machine compiles it for its own PHP (build-extension). */

#ifndef PHP_CLUSTER_H
#define PHP_CLUSTER_H

#include "php.h"
#include <stdbool.h>

/* Settings, of the ini file alone: a site cannot change them. */
typedef struct {
	char *folder;             /* of the sessions: the mount point; empty: PHP stays as it is */
	char *service;            /* the socket of the node's session service; empty: each session is a file */
	zend_long lock_seconds;   /* a request waits no longer for another one of the same session */
	zend_long waiting_places; /* so many of a node's workers may wait for sessions at once */
	zend_long lifetime;       /* the collector removes what has not changed for so many seconds */
	bool write_plain;         /* while the profile changes: records are read, PHP's own format is written */
	char *moves_to;           /* while the store changes, the one that gets what is asked for: "files" or "log"; else empty */
} cluster_settings;

extern cluster_settings cluster;

/* Why something is refused, for the log: each function that can fail writes it here. */
extern char problem[256];
bool fails(const char *format, ...);       /* writes `problem`; always false */
bool fails_with_errno(const char *what);   /* the same, with what the system says */

/* front.c */
void front_install(void);
void front_begin(void);
void front_end(void);

/* store.c */
bool store_install(void);
void store_begin(void);
bool store_is_guilty(void);   /* a session is open and not stored, or was refused */
bool store_was_refused(void);
void store_refuse(const char *id);
bool store_now(void);         /* stores the session that is open, and leaves it open; false: refused */
void store_settle(void);      /* when PHP has done with the session */
void store_end(void);

/* A session whose turn a request has; each store knows another thing by it. */
typedef struct record record;

typedef enum {
	NEVER_STORED,   /* nothing there, or its end: the id is nobody's */
	REPLACED,       /* a page has given its visitor another id */
	STORED
} record_state;

typedef struct {
	record *(*lock)(const char *id, bool create, bool expected);
	const char *(*id)(const record *held);
	record_state (*holds)(const record *held);
	time_t (*changed)(const record *held);
	time_t (*ends)(const record *held);
	bool (*read)(record *held, zend_string **data);
	bool (*write)(record *held, const char *data, size_t length, zend_long lifetime);
	bool (*end)(record *held);
	bool (*replace)(record *held);
	int (*become_plain)(record *held);
	void (*release)(record *held);
} record_store;

extern const record_store record_files;   /* record.c */
extern const record_store record_log;     /* log.c */
extern const record_store record_both;    /* both.c */
extern const record_store *records;       /* the one that this PHP has */

/* What all stores keep to. */
#define MAX_SIZE (16 * 1024 * 1024)
/* So long after a page has given its visitor another id, requests that were under way with the old one may still come. They
 * get an empty session under the old id, and no cookie that would take the new id's place. */
#define REPLACED_SECONDS 10
zend_long bounded_lifetime(zend_long lifetime); /* a site may say that its sessions never end */
double monotonic_seconds(void);

static inline const record_store *wanted_store(void) {
	if (*cluster.service == '\0') return &record_files;
	return *cluster.moves_to == '\0' ? &record_log : &record_both;
}

/* Opens a session and waits for its turn.
 *
 *   create     whether one that is not there is made
 *   expected   whether it should be there
 *
 * NULL: with an empty `problem`, there is none; else it cannot be had. */
static inline record *record_lock(const char *id, bool create, bool expected) {
	/* Pools of one php-fpm may have different ones. */
	records = wanted_store();
	return records->lock(id, create, expected);
}
static inline const char *record_id(const record *held) { return records->id(held); }
static inline record_state record_holds(const record *held) { return records->holds(held); }
static inline time_t record_changed(const record *held) { return records->changed(held); }
/* Whether less than a tenth of its life is over. */
static inline bool record_is_young(const record *held, zend_long lifetime) {
	zend_long life = bounded_lifetime(lifetime);
	return time(NULL) + life - records->ends(held) < life / 10;
}
/* The session's data, an empty text where nothing is stored. */
static inline bool record_read(record *held, zend_string **data) { return records->read(held, data); }
/* Stores the data; it expires when it has not been stored for `lifetime` seconds. */
static inline bool record_write(record *held, const char *data, size_t length, zend_long lifetime) {
	return records->write(held, data, length, lifetime);
}
static inline bool record_end(record *held) { return records->end(held); }
/* Ends the session of a visitor who has got another id; requests that were under way with this one are known by it. */
static inline bool record_replace(record *held) { return records->replace(held); }
/* 1: it was a record; 0: it was none; -1: failed. */
static inline int record_become_plain(record *held) { return records->become_plain(held); }
static inline void record_release(record *held) { if (held != NULL) records->release(held); }

bool record_prepare_waiting(void);       /* once, where workers begin: what those who wait for files share */

/* id.c */
zend_string *id_draw(void);
bool id_is_ours(const char *id);
void id_name(const char *id, char name[13]); /* for the log: the beginning of its SHA-256 */

#endif
