/* Between PHP and the web server: *guilty until stored*. As long as a session is open and not stored, nothing of the answer
 * leaves, and if it cannot be stored, what leaves is a 503. This is below all of PHP's output buffers, so a page may clean,
 * flush and end its own as ever; PHP stores the session in its own order, after shutdown functions, destructors and output
 * callbacks. An answer without such a session passes through. */

#include "cluster.h"
#include "SAPI.h"
#include "php_output.h"
#include <fcntl.h>
#include <unistd.h>

#define IN_MEMORY (256 * 1024)

static const char REFUSAL[] =
	"Status: 503 Service Unavailable\r\n"
	"Content-Type: text/plain; charset=utf-8\r\n"
	"Cache-Control: no-store\r\n"
	"Retry-After: 1\r\n"
	"\r\n"
	"The session is not available at the moment. Please try again.\n";

static size_t (*sapi_write)(const char *, size_t);
static void (*sapi_flush_output)(void *);
static int (*sapi_send)(sapi_headers_struct *);
static zif_handler finish_request;

static struct {
	bool holds;         /* headers or text are here that have not left */
	bool takes_headers; /* what is written now are headers */
	bool has_begun;     /* the answer, or a part of it, has left */
	bool is_finished;   /* the page has ended its answer and goes on */
	char *text;         /* headers and the beginning of the body */
	size_t length, room;
	int file;           /* the rest of the body; -1 if there is none */
} answer = {.file = -1};

static void forget(void) {
	free(answer.text);
	if (answer.file >= 0) close(answer.file);
	answer.text = NULL;
	answer.length = answer.room = 0;
	answer.file = -1;
	answer.holds = false;
}

static bool keep_in_memory(const char *text, size_t length) {
	if (answer.length + length > answer.room) {
		size_t room = MAX(answer.length + length, 2 * answer.room);
		char *larger = realloc(answer.text, room);
		if (larger == NULL) return false;
		answer.text = larger;
		answer.room = room;
	}
	memcpy(answer.text + answer.length, text, length);
	answer.length += length;
	return true;
}

static bool keep_in_file(const char *text, size_t length) {
	/* Not /tmp, which may be memory. */
	char name[] = "/var/tmp/php-cluster-answer-XXXXXX";
	if (answer.file < 0 && (answer.file = mkostemp(name, O_CLOEXEC)) >= 0) unlink(name);
	while (answer.file >= 0 && length > 0) {
		ssize_t written = write(answer.file, text, length);
		if (written <= 0) return false;
		text += written;
		length -= written;
	}
	return answer.file >= 0;
}

static void keep(const char *text, size_t length) {
	bool fits = answer.file < 0 && answer.length + length <= IN_MEMORY;
	if (store_was_refused()) return;
	if (answer.takes_headers || fits ? keep_in_memory(text, length) : keep_in_file(text, length)) return;
	fails("there is no room to hold its answer back");
	store_refuse("");
}

/* Too late for a status: the visitor gets an answer that is broken off, rather than one that looks whole. */
static void break_off(void) { _exit(1); }

static void send_file(void) {
	static char part[64 * 1024];
	ssize_t length;
	if (lseek(answer.file, 0, SEEK_SET) != 0) break_off();
	while ((length = read(answer.file, part, sizeof part)) > 0) sapi_write(part, length);
	if (length < 0) break_off();
}

/* What was held back leaves. */
static void let_out(void) {
	answer.has_begun = true;
	if (answer.length > 0) sapi_write(answer.text, answer.length);
	if (answer.file >= 0) send_file();
	forget();
}

static void refuse(void) {
	if (answer.has_begun) break_off();
	answer.has_begun = true;
	sapi_write(REFUSAL, strlen(REFUSAL));
	forget();
}

/* What comes after a page has ended its answer is nobody's. */
static bool must_wait(void) { return store_is_guilty() && !answer.is_finished; }

/* The rest of an answer waits, too: a page may open a session when the beginning has left, and its end would tell the visitor
 * that all is well. */
static size_t front_write(const char *text, size_t length) {
	if (answer.takes_headers || must_wait()) {
		answer.holds = true;
		keep(text, length);
		return length;
	}
	if (answer.holds) let_out();
	return sapi_write(text, length);
}

static void front_flush(void *context) {
	if (answer.holds && must_wait()) return;
	if (answer.holds) let_out();
	if (sapi_flush_output != NULL) sapi_flush_output(context);
}

static int front_send_headers(sapi_headers_struct *headers) {
	int result;
	answer.has_begun = !must_wait();
	if (answer.has_begun) return sapi_send(headers);
	answer.holds = answer.takes_headers = true;
	result = sapi_send(headers);
	answer.takes_headers = false;
	return result;
}

/* fastcgi_finish_request() ends the answer while the page goes on: after output callbacks, what the session holds by now is
 * stored before. What the page still changes is stored in the end, as ever, and only then may fail unseen. */
static ZEND_FUNCTION(finish_request) {
	if (zend_parse_parameters_none() == FAILURE) RETURN_THROWS();
	if (!answer.is_finished) php_output_end_all();
	if (must_wait() && (EG(exception) != NULL || !store_now())) RETURN_FALSE;
	/* It closes the connection. */
	if (answer.holds) let_out();
	finish_request(INTERNAL_FUNCTION_PARAM_PASSTHRU);
	answer.is_finished = true;
}

static void watch_finish_request(void) {
	zend_function *function = zend_hash_str_find_ptr(CG(function_table), ZEND_STRL("fastcgi_finish_request"));
	if (function == NULL || function->internal_function.handler == zif_finish_request) return;
	finish_request = function->internal_function.handler;
	function->internal_function.handler = zif_finish_request;
}

void front_install(void) {
	sapi_write = sapi_module.ub_write;
	sapi_flush_output = sapi_module.flush;
	sapi_send = sapi_module.send_headers;
	sapi_module.ub_write = front_write;
	sapi_module.flush = front_flush;
	sapi_module.send_headers = front_send_headers;
}

/* A session that PHP starts itself is opened before this: what is known of the answer stays. */
void front_begin(void) { watch_finish_request(); }

/* After PHP has stored the session, and before the web server is told that the answer has ended. */
void front_end(void) {
	bool ignored = PG(ignore_user_abort);
	if (sapi_write == NULL) return; /* it was not installed */
	/* A visitor who has left must not end the worker's way to the end of its request. */
	PG(ignore_user_abort) = true;
	if (must_wait()) refuse();
	else if (answer.holds) let_out();
	PG(ignore_user_abort) = ignored;
	forget();
	answer.has_begun = answer.is_finished = answer.takes_headers = false;
}
