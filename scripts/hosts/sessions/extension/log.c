/* A session in the log of all sessions: the node's session service has it, and is asked through a socket. wire.py beside it
 * (session_service) tells what is said.
 *
 * Each worker has one connection, for as long as both live. A session's turn is the connection's, so a worker that ends gives
 * back what it has, however it ends. */

#include "cluster.h"
#include <errno.h>
#include <poll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

/* What is asked, and answered. */
enum { TAKE = 1, STORE = 2, RELEASE = 3, IS_HELD = 16, IS_STORED = 17, IS_REFUSED = 18 };
/* What is said of a session. */
enum { KIND_ENDED, KIND_STORED, KIND_REPLACED };
static const record_state STATE_OF[] = {NEVER_STORED, STORED, REPLACED};

#define FRAME_SIZE 8
#define HELD_SIZE 22
#define STORED_SIZE 9
#define MAX_BODY (17 * 1024 * 1024)
/* A service that is started anew is there again after less. */
#define REACH_SECONDS 5
/* The service refuses what it cannot do sooner, so one that has not answered by then never will. */
#define ANSWER_SECONDS 15
/* Pause before a service that is away is asked again, in microseconds. */
#define PAUSE 20000

struct record {
	char id[257];
	uint64_t version;     /* what is stored; the service takes nothing that rests on another one */
	time_t changed;
	zend_long lifetime;
	record_state state;
	unsigned char *body;  /* the service's answer, until PHP has its data */
	size_t length;        /* of the answer */
};

static int service = -1;   /* the connection */
static pid_t owner;        /* whose it is */

/* A frame. Its data follow, wherever they lie. */
typedef struct {
	unsigned char head[FRAME_SIZE + 32 + 256];
	size_t size;
	const char *data;
	size_t length;
} frame;

static void put(frame *said, uint64_t number, int bytes) {
	for (int i = bytes - 1; i >= 0; i--, number >>= 8) said->head[said->size + i] = number & 0xff;
	said->size += bytes;
}

static void put_text(frame *said, const void *text, size_t length) {
	memcpy(said->head + said->size, text, length);
	said->size += length;
}

static frame begun(int what) {
	frame said = {.size = FRAME_SIZE};
	put(&said, what, 1);
	return said;
}

/* Its first eight bytes: the length, and a channel, which says nothing here. */
static void complete(frame *said) {
	size_t size = said->size;
	said->size = 0;
	put(said, size - FRAME_SIZE + said->length, 4);
	put(said, 0, 4);
	said->size = size;
}

static uint64_t number_at(const unsigned char *at, int bytes) {
	uint64_t number = 0;
	for (int i = 0; i < bytes; i++) number = number << 8 | at[i];
	return number;
}

static void leave_service(void) {
	if (service >= 0) close(service);
	service = -1;
}

/* Whether there is a connection. A forked child has a copy of its parent's, which is not its own. */
static bool is_connected(void) {
	if (service >= 0 && owner != getpid()) leave_service();
	return service >= 0;
}

/* Connects, unless that was done before, and waits a little for a service that is being started. */
static bool reach_service(void) {
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	double deadline = monotonic_seconds() + REACH_SECONDS;
	if (is_connected()) return true;
	if (strlen(cluster.service) >= sizeof address.sun_path) return fails("the path of its node's session service is too long");
	strcpy(address.sun_path, cluster.service);
	service = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	owner = getpid();
	while (service >= 0 && connect(service, (struct sockaddr *)&address, sizeof address) != 0) {
		if (monotonic_seconds() >= deadline) {
			fails_with_errno("its node's session service cannot be reached");
			leave_service();
			return false;
		}
		usleep(PAUSE);
	}
	return service >= 0 || fails_with_errno("there is no socket for it");
}

/* Whether the connection is ready for this; false, with ETIMEDOUT, when it was not by the deadline. */
static bool wait_until_ready(short event, double deadline) {
	struct pollfd waited = {.fd = service, .events = event};
	int ready;
	do {
		double left = MAX(deadline - monotonic_seconds(), 0);
		ready = poll(&waited, 1, left * 1000);
	} while (ready < 0 && errno == EINTR);
	if (ready == 0) errno = ETIMEDOUT;
	return ready > 0;
}

/* After a call that has moved nothing: whether it can be tried again. */
static bool may_go_on(short event, double deadline) {
	return errno == EINTR || (errno == EAGAIN && wait_until_ready(event, deadline));
}

static bool send_frame(const frame *said, double deadline) {
	struct iovec parts[] = {{(void *)said->head, said->size}, {(void *)said->data, said->length}};
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
	while (parts[0].iov_len + parts[1].iov_len > 0) {
		ssize_t sent = sendmsg(service, &message, MSG_NOSIGNAL);
		if (sent < 0 && !may_go_on(POLLOUT, deadline)) return false;
		for (int i = 0; i < 2 && sent > 0; i++) {
			size_t done = MIN((size_t)sent, parts[i].iov_len);
			parts[i].iov_base = (char *)parts[i].iov_base + done;
			parts[i].iov_len -= done;
			sent -= done;
		}
	}
	return true;
}

static bool receive(unsigned char *into, size_t count, double deadline) {
	while (count > 0) {
		ssize_t got = recv(service, into, count, 0);
		if (got == 0) errno = ECONNRESET;
		if (got == 0 || (got < 0 && !may_go_on(POLLIN, deadline))) return false;
		if (got < 0) continue;
		into += got;
		count -= got;
	}
	return true;
}

/* The body of a frame, which is the caller's to free. */
static unsigned char *receive_frame(size_t *length, double deadline) {
	unsigned char head[FRAME_SIZE], *body;
	if (!receive(head, sizeof head, deadline)) return NULL;
	*length = number_at(head, 4);
	if (*length == 0 || *length > MAX_BODY) {
		errno = EPROTO;
		return NULL;
	}
	if ((body = malloc(*length)) == NULL || receive(body, *length, deadline)) return body;
	free(body);
	return NULL;
}

static void not_understood(void) {
	leave_service();
	fails("its node's session service says what PHP does not understand");
}

/* Asks, and asks again a service that was started anew meanwhile: what it has done it knows, and does not do twice. */
static unsigned char *answer_to(const frame *said, double seconds, size_t *length) {
	double deadline = monotonic_seconds() + seconds;
	unsigned char *body;
	while (reach_service()) {
		if (send_frame(said, deadline) && (body = receive_frame(length, deadline)) != NULL) return body;
		if (errno == EPROTO) {
			not_understood();
			return NULL;
		}
		if ((errno != EPIPE && errno != ECONNRESET) || monotonic_seconds() >= deadline) {
			fails_with_errno("its node's session service does not answer");
			leave_service();
			return NULL;
		}
		leave_service();
		usleep(PAUSE);
	}
	return NULL;
}

/* The answer, if it is the one that is expected, and has so many bytes at least. NULL: it is refused, as `problem` says. */
static unsigned char *ask(frame *said, int expected, size_t size, double seconds, size_t *length) {
	unsigned char *body;
	complete(said);
	if ((body = answer_to(said, seconds, length)) == NULL) return NULL;
	if (*body == expected && *length >= size) return body;
	if (*body == IS_REFUSED) fails("%.*s", (int)MIN(*length - 1, sizeof problem), (char *)body + 1);
	else not_understood();
	free(body);
	return NULL;
}

static void forget_body(record *held) {
	free(held->body);
	held->body = NULL;
}

/* Waits for the session's turn, unless this worker has it, and learns what is stored. */
static bool take(record *held) {
	double seconds = 2 * cluster.lock_seconds + ANSWER_SECONDS;
	frame said = begun(TAKE);
	put(&said, cluster.lock_seconds * 1000, 4);
	put(&said, cluster.waiting_places, 2);
	put_text(&said, held->id, strlen(held->id));
	forget_body(held);
	held->body = ask(&said, IS_HELD, HELD_SIZE, seconds, &held->length);
	if (held->body == NULL) return false;
	if (held->body[1] > KIND_REPLACED) {
		not_understood();
		return false;
	}
	held->state = STATE_OF[held->body[1]];
	held->version = number_at(held->body + 2, 8);
	held->changed = time(NULL) - number_at(held->body + 10, 8) / 1000;
	held->lifetime = number_at(held->body + 18, 4);
	return true;
}

static void log_release(record *held) {
	frame said = begun(RELEASE);
	put_text(&said, held->id, strlen(held->id));
	complete(&said);
	/* There is no answer. The end of the connection says the same. */
	if (is_connected() && !send_frame(&said, monotonic_seconds() + 1)) leave_service();
	forget_body(held);
	free(held);
}

/* The log is exact about what is there. */
static record *log_lock(const char *id, bool create, bool expected) {
	record *held = calloc(1, sizeof *held);
	*problem = '\0';
	if (held == NULL) {
		fails("there is no memory for it");
		return NULL;
	}
	snprintf(held->id, sizeof held->id, "%s", id);
	if (take(held) && (create || held->state != NEVER_STORED)) return held;
	log_release(held);
	return NULL;
}

static const char *log_id(const record *held) { return held->id; }
static record_state log_holds(const record *held) { return held->state; }
static time_t log_changed(const record *held) { return held->changed; }
static time_t log_ends(const record *held) { return held->changed + held->lifetime; }

/* PHP has the data then. Whoever wants them once more, as session_reset() does, asks the service. */
static bool log_read(record *held, zend_string **data) {
	if (held->body == NULL && held->state != NEVER_STORED && !take(held)) return false;
	*data = held->body == NULL ? ZSTR_EMPTY_ALLOC()
		: zend_string_init((char *)held->body + HELD_SIZE, held->length - HELD_SIZE, 0);
	forget_body(held);
	return true;
}

static bool store(record *held, int kind, const char *data, size_t length, zend_long lifetime) {
	unsigned char request[8], *body;
	frame said = begun(STORE);
	if (getrandom(request, sizeof request, 0) != sizeof request) return fails_with_errno("it gets no number");
	put(&said, kind, 1);
	put(&said, held->version, 8);
	put_text(&said, request, sizeof request);
	put(&said, lifetime, 4);
	put(&said, strlen(held->id), 1);
	put_text(&said, held->id, strlen(held->id));
	said.data = data;
	said.length = length;
	if ((body = ask(&said, IS_STORED, STORED_SIZE, ANSWER_SECONDS, &length)) == NULL) return false;
	forget_body(held);
	held->version = number_at(body + 1, 8);
	held->state = STATE_OF[kind];
	held->lifetime = lifetime;
	held->changed = time(NULL);
	free(body);
	return true;
}

static bool log_write(record *held, const char *data, size_t length, zend_long lifetime) {
	if (length > MAX_SIZE) return fails("it has more than 16 MiB");
	return store(held, KIND_STORED, data, length, bounded_lifetime(lifetime));
}

static bool log_end(record *held) { return store(held, KIND_ENDED, "", 0, 0); }
/* It ends by itself. */
static bool log_replace(record *held) { return store(held, KIND_REPLACED, "", 0, REPLACED_SECONDS); }

static int log_become_plain(record *held) {
	fails("it is in the log, and no file");
	return -1;
}

const record_store record_log = {
	log_lock, log_id, log_holds, log_changed, log_ends,
	log_read, log_write, log_end, log_replace, log_become_plain, log_release,
};
