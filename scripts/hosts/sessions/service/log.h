/* The log on the volume, and what is known of it: nothing here knows of sockets. service.h names the files. */

#ifndef LOG_H
#define LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of the log and of what services say. One that is greater is refused. */
#define FORMAT 1

/* A segment that has more is followed by another one. */
#ifndef SEGMENT_BYTES
#define SEGMENT_BYTES (64 << 20)
#endif
/* So long after its end an id's last version is known, in seconds: longer than any request that may still store it. */
#ifndef ENDED_SECONDS
#define ENDED_SECONDS 600
#endif
/* So many ids that went with their segments are let go at once; for the others there is time. */
#define FORGET_AT_ONCE 1000
/* bytes.c */

typedef struct { unsigned char *at; size_t length, room; } bytes;

void *allocated(size_t size);
void bytes_reserve(bytes *into, size_t more);
void bytes_add(bytes *into, const void *what, size_t length);
void bytes_add_number(bytes *into, uint64_t number, int size);
void bytes_add_text(bytes *into, const char *format, ...);
void bytes_free(bytes *which);
uint64_t number_at(const unsigned char *at, int size);
void set_number(unsigned char *at, uint64_t number, int size);

/* Why something did not work: of the volume; the log is not what it has to be, which is never a reason to begin a new one;
 * another service writes. */
typedef enum { NO_FAILURE, IO_FAILURE, LOG_FAILURE, DEPOSED } failure_kind;
typedef struct { failure_kind kind; char text[240]; } failure;

bool fails(failure *why, failure_kind kind, const char *format, ...);   /* always false */
bool fails_with_errno(failure *why, const char *what);                  /* the same, with what the system says */
double monotonic_seconds(void);
void say(const char *format, ...);                                      /* a line of the journal */

/* records.c */

#define BLOCK 4096
#define CHAIN_SIZE 32
#define REQUEST_SIZE 8
#define RECORD_SIZE 34
#define BATCH_SIZE 72
#define NAME_SIZE 128
/* A session has no more. */
#define MAX_DATA (16 << 20)
#define MAX_ID 255
/* A batch has updates of MAX_DATA, or one of a session as large, and a copy of another one. */
#define MAX_BODY (34 << 20)

/* A place between two batches of the log: all before it is confirmed. */
typedef struct {
	uint64_t segment, offset;
	unsigned char chain[CHAIN_SIZE];   /* the hash of the batch that ends there */
} position;

bool is_same_position(const position *one, const position *other);

enum { ENDED, STORED, REPLACED };

/* One update of one session. */
typedef struct {
	uint8_t kind, id_length;
	uint32_t length;
	uint32_t lifetime;                       /* seconds after `changed` at which it expires */
	uint64_t version;                        /* larger than that of any earlier update of any session; a copy keeps it */
	uint64_t changed;                        /* in the log's own milliseconds */
	unsigned char request[REQUEST_SIZE];     /* by what its writer knows a request that comes again; zeros: nobody's */
	const unsigned char *id, *data;
} record;

size_t record_size(size_t id_length, size_t length);
void record_add(bytes *into, const record *added);
bool record_next(const unsigned char **at, const unsigned char *end, record *found);   /* false: there is none */

/* What the first batch of a segment tells. */
typedef struct {
	uint64_t first;                          /* the oldest segment that still counts */
	bool has_previous;                       /* but for the very first one */
	position previous;                       /* where the part of the log ends that was confirmed before this segment */
	uint64_t next_version;                   /* greater than any version before */
	char writer[NAME_SIZE], address[NAME_SIZE];
} head;

/* One commit. */
typedef struct {
	bool is_first;                           /* of its segment; only then it has a head */
	head head;
	position start, end;
	uint64_t confirmed, time;
	const unsigned char *records;
	size_t length;                           /* of the records */
} batch;

typedef enum { NO_BATCH, A_BATCH, BAD_BATCH } batch_found;

void batch_begin(bytes *into, const head *told);   /* the records follow; the head is NULL but for a segment's first batch */
void batch_end(bytes *into, bool is_first, const position *start, uint64_t time, position *end);
bool is_batch(const unsigned char *data, const position *start);   /* whether one begins there, if it is whole and true */
size_t batch_length(const unsigned char *data);                    /* in whole blocks */
/* Whether a batch that begins at `offset` says that what is at `start` was confirmed. */
bool confirms(const unsigned char *data, const position *start, uint64_t offset);
/* The batch that begins there; `is_checked`: it is known to be true. */
batch_found batch_at(const unsigned char *data, size_t length, const position *start, bool is_checked, batch *found, failure *why);

/* entries.c */

#define SHARDS 1024

/* The newest record of an id, and which segment has it. */
typedef struct entry entry;
struct entry {
	entry *next;               /* of its bucket */
	entry *older, *newer;      /* in the log */
	uint64_t segment, version, changed;
	unsigned char request[REQUEST_SIZE];
	uint32_t length, lifetime;
	uint32_t round;            /* the writer's last one that has a change of it */
	uint8_t kind, id_length;
	unsigned char text[];      /* the id, and the data */
};

typedef struct { entry **buckets; uint32_t size, count; } shard;

typedef struct {
	shard shards[SHARDS];
	entry *oldest, *newest;
	size_t count;
	uint64_t first;            /* ids whose record lies in a segment before this one are forgotten */
	uint32_t shard_looked, bucket_looked;
} entries;

uint64_t hash_of(const unsigned char *id, size_t length);
entry *entries_get(entries *all, const unsigned char *id, size_t length);    /* NULL: nothing is known, or it is forgotten */
entry *entries_find(entries *all, const unsigned char *id, size_t length);   /* forgotten or not */
void entries_put(entries *all, const record *known, uint64_t segment);       /* of an id that has none */
void entries_remove(entries *all, entry *gone);
void entries_free(entries *all);
record entry_record(const entry *of);
bool entry_is_over(const entry *of, uint64_t time);
/* Looks at the next `count`, and after the last one at none: the next call begins anew. `look` may remove what it is given. */
void entries_look(entries *all, size_t count, void (*look)(void *context, entry *at), void *context);

/* state.c */

typedef struct { uint64_t number, size; } segment_size;

typedef struct {
	entries *entries;
	position position;
	segment_size *segments;    /* those that count, in order, with their confirmed bytes */
	size_t segment_count;
	uint64_t log_bytes;        /* the sum of these */
	uint64_t time;             /* the log's, in milliseconds; it goes on while somebody writes */
	uint64_t next_version;     /* greater than any version before */
	uint64_t live;             /* the bytes of the newest record of each id */
	uint64_t stored;           /* how many sessions there are */
} state;

void state_begin(state *of);
void state_apply(state *of, const batch *confirmed);
entry *state_get(const state *of, const unsigned char *id, size_t length);
void state_forget(state *of, entry *gone);
void state_forget_stale(state *of);              /* lets the room of some ids go that are forgotten with their segments */
uint64_t oldest_segment(const state *of);        /* that of the oldest record; 0: there is none */
/* Whether an id ended so long ago that it is as one that nobody has heard of, still in memory or not. */
bool is_forgotten(const entry *known, uint64_t time);
/* Looks at some ids: forgets those that ended long ago, and tells whose life is over. Who is held stays. */
void state_sweep(state *of, size_t count, uint64_t time, bool (*is_held)(const entry *), void (*over)(void *, entry *), void *context);

/* volume.c */

#define PATH_SIZE 512
#define GRAPH_SIZE 128
#define MAX_BRICKS 64

/* What the mount's client says of its bricks. */
typedef struct {
	char graph[GRAPH_SIZE];    /* another one has opened all files anew */
	int count;
	uint64_t connected;        /* a bit for each brick */
	uint64_t good;             /* those that have the locked file of this service open, and its lock */
} bricks;

typedef struct { int file; uint64_t number; bricks opened; } segment;

extern const char *mount_point;

/* Creates a segment, which decides who writes after the one before. DEPOSED: somebody else has. */
bool segment_create(segment *made, uint64_t number, failure *why);
bool segment_open(segment *made, failure *why);    /* locks it, and notes which bricks have it */
bool segment_write(const segment *to, const unsigned char *data, size_t length, uint64_t offset, failure *why);
/* Returns when all bricks that count have it on their disks. Failed: it may be on all of them, or some, or none. */
bool segment_sync(const segment *to, failure *why);
/* Whether each brick on which the file was good when it was opened still has it. */
bool segment_check(const segment *of, failure *why);
/* Whether it is good on every brick. Then a look-up asks all of them, and what they say decides. */
bool is_everywhere(const segment *of);
/* Whether a brick is connected that does not have this file: a new segment would be on it. */
bool misses_brick(const segment *of, bool *misses, failure *why);
void segment_close(segment *of);
int segment_exists(uint64_t number, failure *why);   /* a look-up that asks the bricks; -1: failed */
/* The number of the newest one; `known` is, or was, a segment. */
bool newest_segment(uint64_t known, uint64_t *newest, failure *why);
int segment_to_read(uint64_t number, failure *why);
void remove_segments(uint64_t first);                /* those before it */
bool room_of_volume(uint64_t *left, uint64_t *total, failure *why);

/* replay.c */

typedef struct { bool is_there; position end; head head; uint64_t time; bytes tail; } beginning;

/* The first batch of the newest segment that has one. A writer may have ended before he had committed his. */
bool last_beginning(uint64_t newest, beginning *found, failure *why);

/* The end of the log, as somebody finds it who takes it over. */
typedef struct {
	position position;         /* up to here it is confirmed: both disks have it, whatever becomes of a brick */
	bytes records;             /* what lies behind, and may or may not be on both */
	uint64_t time;             /* the log's */
} tail;

/* Read after the segment that follows `newest` was created; `known` is known to be confirmed. */
bool read_tail(uint64_t newest, const position *known, tail *found, failure *why);

typedef struct {
	bool (*take)(void *context, const batch *found, const unsigned char *data);
	void *context;
} taker;

/* Gives all batches between two confirmed places to `to`; LOG_FAILURE: a part of the log is missing or damaged. */
bool read_on(const position *known, const position *until, uint64_t newest, taker to, failure *why);

#endif
