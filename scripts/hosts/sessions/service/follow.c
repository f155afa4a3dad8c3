/* The connection to the writer of another node: this one's requests go there, and what it confirms comes here. */

#include "service.h"
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define CONNECT_SECONDS 0.5
/* So often a node asks the writer whether it is there. */
#define ASK_SECONDS 0.3
/* A writer that has said nothing for so long is taken to be gone. */
#define SILENT_SECONDS 1.2
/* So long this node's own volume has to answer, before the writer's counts as stuck. */
#define LOOK_SECONDS 0.5
/* A follower looks at all ids in so many parts, one each ASK_SECONDS. */
#define LOOKS 200
/* So many milliseconds later than the writer a follower forgets an id: a request may still have its turn there. */
#define FORGETS_LATER 60000

/* What was confirmed while this node still read what was before. */
typedef struct { queued queued; size_t length; unsigned char body[]; } batch_behind;

typedef struct { connection connection; bool was_there; } outgoing;

static struct {
	outgoing *to;
	bool is_welcomed, is_reading, lags;
	char address[NAME_SIZE];
	double heard, stuck, lags_since;
	queue behind;
	size_t bytes_behind;
} link;

static void ask(timer *fired);
static void too_late(timer *fired);
static timer asks = {.fire = ask}, connects = {.fire = too_late};

static void drop_behind(void) {
	batch_behind *gone;
	while ((gone = queue_taken(&link.behind)) != NULL) free(gone);
	link.bytes_behind = 0;
}

/* Ends the connection; the search goes on when that is done. */
static void leave(bool was_there) {
	link.to->was_there = was_there;
	connection_close(&link.to->connection);
}

static void lost(connection *ended) {
	outgoing *gone = (outgoing *)ended;
	bool was_there = gone->was_there && link.is_welcomed;
	timer_stop(&asks);
	timer_stop(&connects);
	catch_up_stop();
	drop_behind();
	link.to = NULL;
	if (link.is_welcomed) node_use(NULL);
	free(gone);
	search_link_ended(was_there);
}

static void too_late(timer *fired) {
	(void)fired;
	leave(false);
}

/* Follows no more for a while. Its workers' requests go on, and it reads what it lacks when it takes over. */
static void lag(const char *why) {
	say("does not follow: %s", why);
	drop_behind();
	link.lags = true;
	link.lags_since = monotonic_seconds();
}

/* Takes over what the writer has just confirmed. */
static void apply(const unsigned char *body, size_t length) {
	position start = sessions.position;
	uint64_t segment = number_at(body + 1, 8), offset = number_at(body + 9, 8);
	batch found;
	failure why;
	if (segment < start.segment || (segment == start.segment && offset < start.offset)) return;
	if (offset == 0) start = (position){.segment = segment};
	if (start.segment != segment || start.offset != offset) lag("it hears of what does not follow what it has");
	else if (batch_at(body + 17, length - 17, &start, false, &found, &why) != A_BATCH) lag("what it hears is damaged");
	else if (found.is_first && found.head.has_previous && !is_same_position(&found.head.previous, &sessions.position))
		lag("it follows another end of the log");
	else state_apply(&sessions, &found);
}

static void confirmed(const unsigned char *body, size_t length) {
	batch_behind *added;
	if (link.lags || length < 17) return;
	if (!link.is_reading && link.behind.first == NULL) {
		apply(body, length);
		return;
	}
	added = allocated(sizeof *added + length);
	*added = (batch_behind){.length = length};
	memcpy(added->body, body, length);
	queue_append(&link.behind, added);
	link.bytes_behind += length;
	if (link.bytes_behind > MAX_BEHIND) lag("more is written than it can read");
}

/* What came meanwhile is applied a part at a time, and PHP's workers do not wait for it. */
void follow_turn(void) {
	size_t done = 0;
	if (link.to == NULL || link.is_reading) return;
	while (link.behind.first != NULL && done < APPLY_BYTES) {
		batch_behind *next = queue_taken(&link.behind);
		link.bytes_behind -= next->length;
		done += next->length;
		apply(next->body, next->length);
		free(next);
	}
	if (link.behind.first != NULL) loop_again();
}

static void caught_up(const failure *why) {
	link.is_reading = false;
	if (why->kind != NO_FAILURE) lag(why->text);
	else loop_again();
}

static void say_hello(void) {
	unsigned char body[] = {HELLO, me.rank >= 0, FORMAT};
	connection_send(&link.to->connection, 0, body, sizeof body);
}

static bool welcomed(const unsigned char *body, size_t length) {
	position at = {number_at(body + 1, 8), number_at(body + 9, 8), {0}};
	if (length < 17 + CHAIN_SIZE) return false;
	if (length > 17 + CHAIN_SIZE && body[17 + CHAIN_SIZE] > FORMAT) {
		say("the writer says what this node does not know: its format is %d", body[17 + CHAIN_SIZE]);
		return false;
	}
	memcpy(at.chain, body + 17, CHAIN_SIZE);
	if (me.rank >= 0) {
		drop_behind();
		link.lags = false;
		link.is_reading = true;
		catch_up(&at, at.segment, caught_up);
	}
	if (link.is_welcomed) return true;
	link.is_welcomed = true;
	timer_stop(&connects);
	timer_set(&asks, 0);
	say("follows %s", link.address);
	node_use(&link.to->connection);
	return true;
}

static bool told(connection *from, uint32_t channel, const unsigned char *body, size_t length) {
	(void)from;
	link.heard = monotonic_seconds();
	if (channel != 0) {
		node_answered(channel, body, length);
		return true;
	}
	switch (body[0]) {
		case WELCOME: return welcomed(body, length);
		case BATCH: confirmed(body, length); return true;
		case HERE: link.stuck = length >= 9 ? number_at(body + 1, 8) / 1000.0 : 0; return true;
		default: return body[0] != NOT_I;
	}
}

/* Whether this node's own volume answers, where the writer's does not. */
static struct { job job; bool is_asked; double since; uint64_t known; failure why; } own;

static void look_run(job *todo) {
	uint64_t newest;
	(void)todo;
	own.why = (failure){0};
	newest_segment(own.known, &newest, &own.why);
}

static bool is_stuck(void) { return link.to != NULL && link.is_welcomed && link.stuck > STUCK_SECONDS && me.rank >= 0; }

static void looked(job *done) {
	(void)done;
	own.is_asked = false;
	if (!is_stuck() || own.why.kind != NO_FAILURE || monotonic_seconds() - own.since > LOOK_SECONDS) return;
	say("the writer's volume does not answer it");
	leave(false);
}

static void look(void) {
	if (own.is_asked) return;
	own.job = (job){.run = look_run, .done = looked};
	own.is_asked = true;
	own.since = monotonic_seconds();
	own.known = sessions.position.segment;
	thread_do(&looks, &own.job);
}

static void ask(timer *fired) {
	static const unsigned char body[] = {ASK};
	double now = monotonic_seconds();
	if (now - link.heard > SILENT_SECONDS) {
		say("the writer is silent");
		leave(false);
		return;
	}
	if (is_stuck()) look();
	connection_send(&link.to->connection, 0, body, sizeof body);
	if (link.lags && now - link.lags_since > LAG_SECONDS && !link.is_reading) say_hello();
	/* A part of what the writer has forgotten by now. What is over he ends. */
	if (!link.lags && !link.is_reading && link.behind.first == NULL && sessions.time > FORGETS_LATER)
		state_sweep(&sessions, sessions.entries->count / LOOKS + LOOKS, sessions.time - FORGETS_LATER, NULL, NULL, NULL);
	timer_set(fired, ASK_SECONDS);
}

void follow(const char *address) {
	struct addrinfo wanted = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV}, *found;
	char host[NAME_SIZE], *port;
	int one = 1, file = -1;
	strcpy(host, address);
	port = strrchr(host, ':');
	if (port != NULL) *port++ = '\0';
	if (port != NULL && getaddrinfo(host, port, &wanted, &found) == 0) {
		file = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (file >= 0) {
			setsockopt(file, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
			/* Whether it is there shows when something is said. */
			(void)!connect(file, found->ai_addr, found->ai_addrlen);
		}
		freeaddrinfo(found);
	}
	if (file < 0) {
		search_link_ended(false);
		return;
	}
	link.to = allocated(sizeof *link.to);
	*link.to = (outgoing){.connection = {.on_frame = told, .on_lost = lost}, .was_there = true};
	link.is_welcomed = link.is_reading = link.lags = false;
	link.heard = monotonic_seconds();
	link.stuck = 0;
	strcpy(link.address, address);
	drop_behind();
	connection_begin(&link.to->connection, file);
	timer_set(&connects, CONNECT_SECONDS);
	say_hello();
}
