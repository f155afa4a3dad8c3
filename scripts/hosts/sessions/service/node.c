/* The service of a node: PHP's workers on one side, the writer on the other.
 *
 * Requests go to the writer in this process, or to that of another node; what was asked and is not answered, and which turns the
 * workers have, is told to the next writer. */

#include "service.h"
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define WORKER_BUCKETS 1024
#define WATCH_SECONDS 0.25
/* Another node asks every 0.3 s. One that has not for so long is taken to be gone: its connection may stay for minutes. */
#define GONE_SECONDS 1.5

/* A session that a worker has, with the version that he has read. */
typedef struct held { struct held *next; uint64_t version; uint8_t length; unsigned char id[]; } held;

typedef struct worker {
	connection connection;
	struct worker *next;
	uint32_t channel;
	bool asks;             /* he waits for an answer */
	bytes asked;
	double since;
	held *turns;
} worker;

connection here;
static worker *workers[WORKER_BUCKETS];
static size_t worker_count;
static connection *way;   /* to the writer; NULL: there is none */
static double without_since;
static char trouble[240];
static bytes said;   /* what is being said */

/* The services of other nodes that send their requests here. */
typedef struct peer_node { connection connection; source *from; double heard; struct peer_node *next; } peer_node;
static peer_node *peers;

bool node_is_linked(void) { return way != NULL; }

void node_trouble(const char *text) { snprintf(trouble, sizeof trouble, "%s", text); }

static bytes *saying(int what) {
	said.length = 0;
	bytes_add_number(&said, what, 1);
	return &said;
}

static void say_to(connection *to, const bytes *body) { connection_send(to, 0, body->at, body->length); }

/* Workers. */

static worker **place_of(uint32_t channel) {
	worker **at = &workers[channel % WORKER_BUCKETS];
	while (*at != NULL && (*at)->channel != channel) at = &(*at)->next;
	return at;
}

static held **turn_held(worker *by, const unsigned char *id, size_t length) {
	held **at = &by->turns;
	while (*at != NULL && ((*at)->length != length || memcmp((*at)->id, id, length) != 0)) at = &(*at)->next;
	return at;
}

static void note_turn(worker *by, const unsigned char *id, size_t length, uint64_t version) {
	held **at = turn_held(by, id, length);
	if (*at == NULL) {
		*at = allocated(sizeof **at + length);
		**at = (held){.length = length};
		memcpy((*at)->id, id, length);
	}
	(*at)->version = version;
}

static void forget_turn(worker *by, const unsigned char *id, size_t length) {
	held **at = turn_held(by, id, length), *gone = *at;
	if (gone == NULL) return;
	*at = gone->next;
	free(gone);
}

static bool pass_on(uint32_t channel, const unsigned char *body, size_t length) {
	if (way == &here) return writer_handle(NULL, channel, body, length);
	if (way != NULL) connection_send(way, channel, body, length);
	return true;
}

void node_answered(uint32_t channel, const unsigned char *body, size_t length) {
	worker *to = *place_of(channel);
	take_request taken;
	store_request stored;
	if (to == NULL || !to->asks) return;
	to->asks = false;
	if (body[0] == IS_HELD && length >= 22 && read_take(to->asked.at, to->asked.length, &taken))
		note_turn(to, taken.id, taken.id_length, number_at(body + 2, 8));
	if (body[0] == IS_STORED && length >= 9 && read_store(to->asked.at, to->asked.length, &stored))
		note_turn(to, stored.known.id, stored.known.id_length, number_at(body + 1, 8));
	if (to->asked.room > 1 << 16) bytes_free(&to->asked);
	connection_send(&to->connection, 0, body, length);
}

static void refuse_worker(worker *asks) {
	const char *why = *trouble != '\0' ? trouble : "no session service writes";
	bytes *body = saying(IS_REFUSED);
	bytes_add(body, why, strlen(why));
	node_answered(asks->channel, body->at, body->length);
}

/* Lets nothing through that would end its node's connection to the writer, or stay there for good. */
static bool worker_asked(connection *from, uint32_t channel, const unsigned char *body, size_t length) {
	worker *by = from->owner;
	take_request taken;
	store_request stored;
	(void)channel;
	switch (body[0]) {
		case STATISTICS:
			said.length = 0;
			add_statistics(&said, worker_count, trouble);
			say_to(from, &said);
			return true;
		case RELEASE:
			if (!is_id(length - 1)) return false;
			forget_turn(by, body + 1, length - 1);
			break;
		case TAKE: case STORE:
			if (by->asks || !(body[0] == TAKE ? read_take(body, length, &taken) : read_store(body, length, &stored))) return false;
			by->asks = true;
			by->asked.length = 0;
			bytes_add(&by->asked, body, length);
			by->since = monotonic_seconds();
			if (way == NULL && by->since - without_since > WAIT_SECONDS) {
				refuse_worker(by);
				return true;
			}
			break;
		default: {
			static const char why[] = "a worker does not ask this";
			bytes *answer = saying(IS_REFUSED);
			bytes_add(answer, why, sizeof why - 1);
			say_to(from, answer);
			return true;
		}
	}
	return pass_on(by->channel, body, length);
}

static void worker_gone(connection *ended) {
	worker *gone = ended->owner;
	unsigned char what = GONE;
	*place_of(gone->channel) = gone->next;
	worker_count--;
	pass_on(gone->channel, &what, 1);
	while (gone->turns != NULL) forget_turn(gone, gone->turns->id, gone->turns->length);
	bytes_free(&gone->asked);
	free(gone);
}

static void worker_came(watch *at, uint32_t events) {
	static uint32_t channels;
	int file = accept4(at->file, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	worker *made;
	(void)events;
	if (file < 0) return;
	made = allocated(sizeof *made);
	do channels++;
	while (channels == 0 || *place_of(channels) != NULL);
	*made = (worker){.connection = {.on_frame = worker_asked, .on_lost = worker_gone, .owner = made}, .channel = channels};
	*place_of(channels) = made;
	worker_count++;
	connection_begin(&made->connection, file);
}

void node_use(connection *to) {
	if (to == NULL && way != NULL) without_since = monotonic_seconds();
	way = to;
	if (to == NULL) return;
	for (int i = 0; i < WORKER_BUCKETS; i++)
		for (worker *each = workers[i]; each != NULL; each = each->next)
			for (const held *had = each->turns; had != NULL; had = had->next) {
				bytes *body = saying(RECLAIM);
				bytes_add_number(body, had->version, 8);
				bytes_add(body, had->id, had->length);
				pass_on(each->channel, body->at, body->length);
			}
	for (int i = 0; i < WORKER_BUCKETS; i++)
		for (worker *each = workers[i]; each != NULL; each = each->next)
			if (each->asks) pass_on(each->channel, each->asked.at, each->asked.length);
}

/* In one write of always the same length, so that nobody reads half of it. */
static void write_uptime(void) {
	struct timespec up;
	char path[PATH_SIZE], text[32];
	int file;
	snprintf(path, sizeof path, "%s-linked", me.socket);
	clock_gettime(CLOCK_BOOTTIME, &up);
	snprintf(text, sizeof text, "%-12lld\n", up.tv_sec * 100LL + up.tv_nsec / 10000000);
	if ((file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600)) < 0) return;
	if (write(file, text, strlen(text)) < 0) say("cannot write %s: %s", path, strerror(errno));
	close(file);
}

/* What a silent node has, others wait for. It says what it had when it comes again. */
static void watch_peers(void) {
	double late = monotonic_seconds() - GONE_SECONDS;
	for (peer_node *each = peers; each != NULL; each = each->next)
		if (each->from != NULL && each->heard < late && !each->connection.is_over) connection_close(&each->connection);
}

/* As long as there is a writer, says so; refuses who has waited too long for one. */
static void watch_link(timer *fired) {
	double late = monotonic_seconds() - WAIT_SECONDS;
	timer_set(fired, WATCH_SECONDS);
	watch_peers();
	if (way != NULL) {
		/* While a volume owes the writer here an answer, other nodes fare better. */
		if (way != &here || writer_stuck() < STUCK_SECONDS) write_uptime();
		return;
	}
	for (int i = 0; i < WORKER_BUCKETS; i++)
		for (worker *each = workers[i]; each != NULL; each = each->next)
			/* Who has waited for others before has not waited for a writer yet. */
			if (each->asks && each->since < late && without_since < late) refuse_worker(each);
}

/* Other nodes. */

static bool peer_asked(connection *from, uint32_t channel, const unsigned char *body, size_t length) {
	peer_node *by = from->owner;
	by->heard = monotonic_seconds();
	if (!writing.serves) {
		say_to(from, saying(NOT_I));
	} else if (channel != 0) {
		return by->from == NULL || writer_handle(by->from, channel, body, length);
	} else if (body[0] == HELLO && length >= 2) {
		const position *at = &sessions.position;
		bytes *answer;
		if (length >= 3 && body[2] > FORMAT) {
			say("a node says what this one does not know: its format is %d", body[2]);
			return false;
		}
		/* Who cannot follow for a while says so again, and keeps its turns. */
		if (by->from == NULL) by->from = source_made(from);
		by->from->follows = body[1] == 1;
		answer = saying(WELCOME);
		bytes_add_number(answer, at->segment, 8);
		bytes_add_number(answer, at->offset, 8);
		bytes_add(answer, at->chain, CHAIN_SIZE);
		bytes_add_number(answer, FORMAT, 1);
		say_to(from, answer);
	} else if (body[0] == ASK) {
		bytes *answer = saying(HERE);
		bytes_add_number(answer, (uint64_t)(writer_stuck() * 1000), 8);
		say_to(from, answer);
	}
	return true;
}

static void peer_left(connection *ended) {
	peer_node *gone = ended->owner, **at = &peers;
	while (*at != gone) at = &(*at)->next;
	*at = gone->next;
	if (gone->from != NULL) writer_leave(gone->from);
	free(gone);
}

static void peer_came(watch *at, uint32_t events) {
	int one = 1, file = accept4(at->file, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	peer_node *made;
	(void)events;
	if (file < 0) return;
	setsockopt(file, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	made = allocated(sizeof *made);
	*made = (peer_node){.connection = {.on_frame = peer_asked, .on_lost = peer_left, .owner = made}, .next = peers};
	peers = made;
	connection_begin(&made->connection, file);
}

void node_batch(const position *start, const bytes *data) {
	bytes *body = NULL;
	for (peer_node *each = peers; each != NULL; each = each->next) {
		if (each->from == NULL || !each->from->follows || each->connection.is_over) continue;
		if (connection_behind(&each->connection) > MAX_BEHIND) {
			connection_close(&each->connection);
			continue;
		}
		if (body == NULL) {
			body = saying(BATCH);
			bytes_add_number(body, start->segment, 8);
			bytes_add_number(body, start->offset, 8);
			bytes_add(body, data->at, data->length);
		}
		say_to(&each->connection, body);
	}
}

void node_leave_followers(void) {
	for (peer_node *each = peers; each != NULL; each = each->next)
		if (each->from != NULL) {
			connection_close(&each->connection);
			/* What they had ends with the term. */
			each->from->is_over = true;
			source_drop(each->from);
			each->from = NULL;
		}
}

/* Takes connections of workers at a socket of the file system, and of other nodes, if they may have to ask here. */

static void listen_for_workers(void) {
	static watch workers_come = {.ready = worker_came};
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int file = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	snprintf(address.sun_path, sizeof address.sun_path, "%s", me.socket);
	unlink(me.socket);
	/* Each worker of PHP's may come at once. */
	if (file < 0 || bind(file, (struct sockaddr *)&address, sizeof address) != 0 || chmod(me.socket, 0600) != 0
		|| listen(file, 1024) != 0) {
		say("cannot listen at %s: %s", me.socket, strerror(errno));
		exit(1);
	}
	loop_watch(&workers_come, file, EPOLLIN);
}

static void listen_for_peers(const char *host, const char *port) {
	static watch peers_come = {.ready = peer_came};
	struct addrinfo wanted = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV}, *found;
	int one = 1, file = -1;
	if (getaddrinfo(host, port, &wanted, &found) == 0) {
		file = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		setsockopt(file, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
		if (bind(file, found->ai_addr, found->ai_addrlen) == 0 && listen(file, 128) == 0) {
			freeaddrinfo(found);
			loop_watch(&peers_come, file, EPOLLIN);
			return;
		}
	}
	say("cannot listen at %s port %s: %s", host, port, strerror(errno));
	exit(1);
}

void node_listen(const char *host, const char *port) {
	listen_for_workers();
	if (me.rank >= 0) listen_for_peers(host, port);
}

void node_begin(void) {
	static timer watches = {.fire = watch_link};
	without_since = monotonic_seconds();
	watch_link(&watches);
}
