/* The session service of a PHP node: one log of all sessions on the volume, committed in groups by one writer.
 *
 *   main.c       what systemd starts
 *   queue.c      what waits, first come first served
 *   loop.c       what happens when: sockets, timers, and threads for what may wait for the volume
 *   wire.c       what PHP, its node's service and the writer say to each other
 *   node.c       each node's service: between PHP, the writer and other nodes
 *   statistics.c what this node tells people
 *   search.c     who writes; and the turn of this node to do so
 *   follow.c     the connection to the writer of another node
 *   writer.c     the one service that writes: takes the log over, commits in rounds
 *   requests.c   what the writer is asked
 *   turns.c      which request has a session, and who waits for it
 *   house.c      what the writer does beside: ends what is over, cleans the log
 *   commit.c     the writer's part that waits for the volume
 *   catch_up.c   what was read on its way to the loop
 *   replay.c     how the log is read
 *   volume.c     segments as files on the volume, and whether both bricks still have what is written
 *   state.c      all sessions up to a place in the log
 *   entries.c    what is known of each id, in memory
 *   records.c    what the log consists of: records, batches, the header of a segment
 *   bytes.c      bytes that grow, and numbers in them
 *
 * docs/session-log.md tells the rules, and docs/decisions/22-session-log.md why. The log is read and written by ../session_service,
 * too, for people's tools. Each machine compiles it (build-service). Tests set the constants otherwise. */

#ifndef SERVICE_H
#define SERVICE_H

#include "log.h"
#include <pthread.h>

/* A node that has not taken so many bytes of what it follows is cut off; one that has not read so far lets them go. */
#ifndef MAX_BEHIND
#define MAX_BEHIND (64 << 20)
#endif
/* So much may wait for the loop that was read; then the reader waits. */
#define READ_AHEAD (16 << 20)
/* The loop applies so much in one turn. */
#define APPLY_BYTES (1 << 20)
/* A writer whose volume has not answered for so many seconds gives way to a node whose volume does. */
#ifndef STUCK_SECONDS
#define STUCK_SECONDS 1.0
#endif
/* Whoever has waited so many seconds for a writer is refused, and after that at once, until there is one. */
#ifndef WAIT_SECONDS
#define WAIT_SECONDS 5.0
#endif
/* For so long after the beginning of a proof that it is the writer a service gives turns without another one. Who takes over
 * answers nobody so long after it has created its segment. */
#ifndef LEASE_SECONDS
#define LEASE_SECONDS 0.2
#endif
/* So many seconds after it could not follow, a node tries again. */
#ifndef LAG_SECONDS
#define LAG_SECONDS 5.0
#endif

/* queue.c */

/* What stands in a queue begins with this. A queue of zeros is empty. */
typedef struct queued queued;
struct queued { queued *next; };
typedef struct { queued *first, *last; size_t count; } queue;

void queue_append(queue *to, void *added);
void *queue_taken(queue *from);              /* NULL: none waits */
void queue_move(queue *from, queue *to);     /* all, behind those that are there */

/* loop.c */

/* Work for a thread; `done` is the loop's, afterwards, unless it is NULL. */
typedef struct job job;
struct job { queued queued; void (*run)(job *); void (*done)(job *); };

typedef struct { pthread_mutex_t lock; pthread_cond_t filled; queue jobs; } thread;

typedef struct timer timer;
struct timer { double at; void (*fire)(timer *); bool is_set; timer *next; };

typedef struct watch watch;
struct watch { int file; void (*ready)(watch *, uint32_t events); };

void thread_begin(thread *made);
void thread_do(thread *by, job *work);
void loop_begin(void);
void loop_run(void (*turn)(void));   /* for ever; `turn` comes after all that was ready */
void loop_wake(void);                /* from any thread */
void loop_again(void);               /* the next turn comes at once */
void loop_watch(watch *made, int file, uint32_t events);
void loop_change(watch *of, uint32_t events);
void loop_leave(watch *of);
void timer_set(timer *which, double seconds);
void timer_stop(timer *which);

extern thread disk, beside, looks, reader;

/* catch_up.c */

/* Reads the log up to a confirmed place into `sessions`; `ended` is told. One at a time. */
void catch_up(const position *until, uint64_t newest, void (*ended)(const failure *why));
void catch_up_stop(void);   /* `ended` is not told */
void catch_up_turn(void);

/* All sessions that this node knows. */
extern state sessions;

/* wire.c */

/* A worker's: give me the session's turn and what is stored; store this; I want it no more. Of its node's service: the worker
 * is gone; he has had this turn before. Anybody's: what is there. */
enum { TAKE = 1, STORE, RELEASE, GONE, RECLAIM, STATISTICS };
/* Answers. */
enum { IS_HELD = 16, IS_STORED, IS_REFUSED, IS_TOLD };
/* Between services: I would like to send requests; I write; I do not; what was just confirmed; are you there; I am. */
enum { HELLO = 32, WELCOME, NOT_I, BATCH, ASK, HERE };

/* One end of a connection that carries frames of a length, a channel and a body. */
typedef struct connection connection;
struct connection {
	watch watch;
	bytes in, out;
	size_t sent;
	bool is_over, is_flushed, waits;
	bool (*on_frame)(connection *, uint32_t channel, const unsigned char *body, size_t length);   /* false: it is none */
	void (*on_lost)(connection *);   /* it may free it */
	void *owner;
	connection *next;
};

void connection_begin(connection *made, int file);
void connection_send(connection *to, uint32_t channel, const void *body, size_t length);
size_t connection_behind(const connection *to);      /* bytes that the other end has not taken */
void connection_close(connection *which);            /* at once; `on_lost` comes after the turn */
void connections_flush(void);

/* A worker asks for a session. */
typedef struct { uint32_t wait; uint16_t places; const unsigned char *id; uint8_t id_length; } take_request;
/* A worker stores a session: `known` has what it is from then on, without version and time. */
typedef struct { record known; uint64_t expected; } store_request;

bool read_take(const unsigned char *body, size_t length, take_request *asked);
bool read_store(const unsigned char *body, size_t length, store_request *asked);
bool is_id(size_t length);

/* node.c */

typedef struct {
	const char *name, *socket;
	char address[NAME_SIZE];   /* where other services find it, HOST:PORT */
	int rank;                  /* its place among those that write, from 0 on; -1: it never does */
} identity;

extern identity me;

void node_listen(const char *host, const char *port);
void node_begin(void);
void node_answered(uint32_t channel, const unsigned char *body, size_t length);
/* From now on requests go there: NULL: nowhere; a connection without a socket: the writer in this process. */
void node_use(connection *link);
void node_trouble(const char *text);
bool node_is_linked(void);
void node_batch(const position *start, const bytes *data);   /* tells those who follow what was just confirmed */
void node_leave_followers(void);
extern connection here;

/* statistics.c */

void add_statistics(bytes *told, size_t workers, const char *trouble);

/* search.c, follow.c */

void search_begin(void);
void search_term_ended(const failure *why);   /* the writer's term in this process */
void search_link_ended(bool was_there);       /* `was_there`: the writer may still be found, there or elsewhere */
void follow(const char *address);
void follow_turn(void);

/* turns.c */

/* Where requests come from: a node, with the channels of its workers. */
typedef struct source source;
/* Who has a session's turn, or waits for it. */
typedef struct claim claim;
typedef struct turn turn;
typedef struct update update;

struct source {
	connection *to;            /* NULL: workers of this node */
	bool is_over, follows;
	int references;
	unsigned int waiting;      /* claims */
	struct peer *peers[256];
};

struct claim {
	source *from;
	uint32_t channel;
	turn *turn;
	claim *next_of_peer;
	claim *previous, *next;    /* of those that wait for this turn */
	bool is_waiting;
	double deadline;
	double again;              /* seconds that are added once, if others have had the turn meanwhile; 0: none */
	unsigned int passed;       /* how many had it when he began to wait */
};

struct turn {
	turn *next;                /* of its bucket */
	claim *holder, *first, *last;
	update *storing;           /* the holder's, under way. Nobody else has the turn before that has ended. */
	bool is_given_back;        /* the holder wants it no more */
	unsigned int passed;       /* how many had the turn since somebody waits for it */
	uint8_t id_length;
	unsigned char id[];
};

extern size_t turn_count, waiting_count;

source *source_made(connection *to);
void source_drop(source *of);                        /* one reference less */
turn *turn_of(const unsigned char *id, size_t length);
bool is_held_by(const turn *of, const source *from, uint32_t channel);
claim *claim_of(source *from, uint32_t channel, const unsigned char *id, size_t length);
/* Asks for a turn: `turn_granted` is called at once or later. Whoever has it asks in vain for another one. */
void turn_ask(source *from, uint32_t channel, const take_request *asked);
turn *turn_give(source *from, uint32_t channel, const unsigned char *id, size_t length);   /* one that nobody has */
void turn_give_back(claim *by);                      /* or does not wait for it any longer */
void turn_stored(turn *of);                          /* the holder's update has ended, whatever has become of it */
void turns_leave(source *from, uint32_t channel);    /* a worker is gone */
void turns_leave_all(source *from);                  /* a node is gone */
void turns_look(void (*late)(claim *));              /* at those who have waited for too long */
void turns_end(void);                                /* with the term */

/* writer.c, requests.c, house.c */

/* A change that waits for its commit, and who is told of it: nobody of an end that comes with time. */
typedef struct { source *from; uint32_t channel; } answer_to;
struct update {
	queued queued;
	record known;
	answer_to *told;
	size_t told_count;
	unsigned char text[];
};

/* Somebody who has a session's turn, and waits to be told what is stored. */
typedef struct question question;
struct question { queued queued; answer_to to; uint8_t id_length; unsigned char id[MAX_ID]; };

/* A term of the writer. */
typedef struct {
	bool is_on, serves;
	bool is_full;              /* new sessions are refused */
	bool must_roll, is_cleaning, is_awake, is_examined;
	uint32_t round;
	uint64_t time, next_version, commits;
	double started;            /* the log's time was `time` then */
	double leased;             /* until then nobody else answers, whatever others do */
	long since;
	position end;              /* of what is confirmed */
	queue updates, questions;
} term;

extern term writing;

void writer_begin(void);                             /* takes the log over */
void writer_turn(void);
double writer_stuck(void);                           /* for how many seconds the volume has owed an answer */
uint64_t log_time(uint64_t time, double started);
uint64_t log_now(void);
void wake_writer(void);
bool has_lease(void);                                /* nobody else answers yet */
bool writer_handle(source *from, uint32_t channel, const unsigned char *body, size_t length);   /* false: it is none */
void writer_leave(source *from);                     /* a node is gone */
void turn_granted(claim *to);
void requests_end(void);                             /* with the term */
void update_settle(update *of, bool is_stored, uint64_t version);
void update_again(update *of);                       /* after a commit of which nobody knew what had become */
void question_answer(question *asked);
uint64_t take_version(void);
void update_end(const entry *over);                  /* its life is over when that is in the log */
void house_begin(void);
void house_end(void);
void house_copies(bytes *into, uint64_t last);       /* a part of what the oldest segment still holds, to be written again */

/* commit.c */

typedef enum { TAKE_LOG, COMMIT_HEAD, ROUND, EXAMINE } work_kind;
typedef struct { bytes data; position start, end; bool is_first; } commit;

/* What the thread that waits for the volume does next; one at a time. */
typedef struct {
	job job;
	work_kind kind;
	failure why;
	uint64_t time;             /* the log's, at `started` */
	double started;
	uint64_t mine;             /* the last segment that this term has created; 0: none */
	uint64_t newest;           /* the one whose end it has found */
	position known;
	tail found;
	head head;
	bool rolls, is_full, misses;
	position end;
	bytes records;             /* to be committed */
	commit commits[2];
	int commit_count;          /* those that are confirmed */
} work;

void commit_run(job *todo);
void commit_let_go(job *todo);   /* closes the segment */

#endif
