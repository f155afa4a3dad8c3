/* What PHP, its node's service and the writer say to each other: frames of a length, a channel and a body.
 *
 * A channel is one worker of PHP's; channel 0 is between services. On a worker's own socket it says nothing. A body begins with
 * what it is. Numbers are big-endian. */

#include "service.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define FRAME_SIZE 8
#define RECEIVE_BYTES (256 << 10)
/* What has grown for a large frame goes again. */
#define KEPT_BYTES (1 << 20)
/* Who takes no answers, and asks on, is cut off. */
#define MAX_OUT (MAX_BEHIND + 2 * MAX_BODY)

static connection *to_flush, *ended;

static void let_go(connection *which) {
	which->next = ended;
	ended = which;
}

void connection_close(connection *which) {
	if (which->is_over) return;
	which->is_over = true;
	loop_leave(&which->watch);
	close(which->watch.file);
	/* One that is to be flushed is let go then. */
	if (!which->is_flushed) let_go(which);
}

static size_t take_frames(connection *from, const unsigned char *data, size_t length) {
	size_t at = 0;
	while (!from->is_over && length - at >= FRAME_SIZE) {
		size_t body = number_at(data + at, 4);
		uint32_t channel = number_at(data + at + 4, 4);
		if (body == 0 || body > MAX_BODY) {
			connection_close(from);
			break;
		}
		if (length - at - FRAME_SIZE < body) break;
		if (!from->on_frame(from, channel, data + at + FRAME_SIZE, body)) connection_close(from);
		at += FRAME_SIZE + body;
	}
	return at;
}

static void receive(connection *from) {
	static unsigned char received[RECEIVE_BYTES];
	ssize_t got = recv(from->watch.file, received, sizeof received, 0);
	size_t taken;
	if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
	if (got <= 0) {
		connection_close(from);
		return;
	}
	if (from->in.length == 0) {
		taken = take_frames(from, received, got);
		if (!from->is_over) bytes_add(&from->in, received + taken, got - taken);
		return;
	}
	bytes_add(&from->in, received, got);
	taken = take_frames(from, from->in.at, from->in.length);
	from->in.length -= taken;
	memmove(from->in.at, from->in.at + taken, from->in.length);
	if (from->in.length == 0 && from->in.room > KEPT_BYTES) bytes_free(&from->in);
}

static void flush(connection *to) {
	while (to->sent < to->out.length) {
		ssize_t sent = send(to->watch.file, to->out.at + to->sent, to->out.length - to->sent, MSG_NOSIGNAL);
		if (sent < 0 && errno == EINTR) continue;
		if (sent < 0 && errno != EAGAIN) {
			connection_close(to);
			return;
		}
		if (sent < 0) break;
		to->sent += sent;
	}
	if (to->sent > to->out.length / 2) {
		to->out.length -= to->sent;
		memmove(to->out.at, to->out.at + to->sent, to->out.length);
		to->sent = 0;
	}
	if (to->out.length == 0 && to->out.room > KEPT_BYTES) bytes_free(&to->out);
	if (to->waits != (to->out.length > 0)) {
		to->waits = to->out.length > 0;
		loop_change(&to->watch, to->waits ? EPOLLIN | EPOLLOUT : EPOLLIN);
	}
}

static void ready(watch *at, uint32_t events) {
	connection *of = (connection *)at;
	if (!of->is_over && (events & EPOLLOUT)) flush(of);
	if (!of->is_over && (events & ~EPOLLOUT)) receive(of);
}

void connection_begin(connection *made, int file) {
	made->watch.ready = ready;
	loop_watch(&made->watch, file, EPOLLIN);
}

size_t connection_behind(const connection *to) { return to->out.length - to->sent; }

void connection_send(connection *to, uint32_t channel, const void *body, size_t length) {
	if (to->is_over) return;
	bytes_add_number(&to->out, length, 4);
	bytes_add_number(&to->out, channel, 4);
	bytes_add(&to->out, body, length);
	if (!to->is_flushed) {
		to->is_flushed = true;
		to->next = to_flush;
		to_flush = to;
	}
	if (connection_behind(to) > MAX_OUT) connection_close(to);
}

void connections_flush(void) {
	while (to_flush != NULL || ended != NULL) {
		connection *next = to_flush;
		if (next != NULL) {
			to_flush = next->next;
			next->is_flushed = false;
			if (next->is_over) let_go(next);
			else if (!next->waits) flush(next);
			continue;
		}
		next = ended;
		ended = next->next;
		/* What it had may be another's now. */
		loop_again();
		bytes_free(&next->in);
		bytes_free(&next->out);
		next->on_lost(next);
	}
}

bool is_id(size_t length) { return length > 0 && length <= MAX_ID; }

bool read_take(const unsigned char *body, size_t length, take_request *asked) {
	if (length < 7 || !is_id(length - 7)) return false;
	*asked = (take_request){number_at(body + 1, 4), number_at(body + 5, 2), body + 7, length - 7};
	return true;
}

bool read_store(const unsigned char *body, size_t length, store_request *asked) {
	const size_t size = 23;
	if (length < size || body[1] > REPLACED || body[22] == 0 || length < size + body[22] || length - size - body[22] > MAX_DATA)
		return false;
	*asked = (store_request){
		.known = {
			.kind = body[1], .lifetime = number_at(body + 18, 4), .id_length = body[22], .id = body + size,
			.data = body + size + body[22], .length = length - size - body[22],
		},
		.expected = number_at(body + 2, 8),
	};
	memcpy(asked->known.request, body + 10, REQUEST_SIZE);
	return true;
}
