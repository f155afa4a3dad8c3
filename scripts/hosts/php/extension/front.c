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
	bool holds;         /* headers are here that have not left */
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

static void send_file(void) {
	static char part[64 * 1024];
	ssize_t length;
	if (lseek(answer.file, 0, SEEK_SET) != 0) return;
	while ((length = read(answer.file, part, sizeof part)) > 0) sapi_write(part, length);
}

/* What was held back leaves, or a refusal in its place. */
static void decide(void) {
	answer.has_begun = true;
	if (store_is_guilty()) {
		sapi_write(REFUSAL, strlen(REFUSAL));
	} else {
		if (answer.length > 0) sapi_write(answer.text, answer.length);
		if (answer.file >= 0) send_file();
	}
	forget();
}

static size_t front_write(const char *text, size_t length) {
	if (answer.takes_headers || (answer.holds && store_is_guilty())) {
		keep(text, length);
		return length;
	}
	if (answer.holds) decide();
	return sapi_write(text, length);
}

static void front_flush(void *context) {
	if (answer.holds && store_is_guilty()) return;
	if (answer.holds) decide();
	if (sapi_flush_output != NULL) sapi_flush_output(context);
}

static int front_send_headers(sapi_headers_struct *headers) {
	int result;
	answer.has_begun = !store_is_guilty();
	if (answer.has_begun) return sapi_send(headers);
	answer.holds = answer.takes_headers = true;
	result = sapi_send(headers);
	answer.takes_headers = false;
	return result;
}

/* fastcgi_finish_request() ends the answer while the page goes on: what the session holds by now is stored before. What the
 * page still changes is stored in the end, as ever, and only then may fail unseen. */
static ZEND_FUNCTION(finish_request) {
	if (store_is_guilty() && !store_now()) RETURN_FALSE;
	finish_request(INTERNAL_FUNCTION_PARAM_PASSTHRU);
	if (answer.holds) decide();
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

void front_begin(void) {
	watch_finish_request();
	answer.has_begun = answer.is_finished = answer.takes_headers = false;
	forget();
}

/* After PHP has stored the session, and before the web server is told that the answer has ended. */
void front_end(void) {
	bool ignored = PG(ignore_user_abort);
	if (sapi_write == NULL) return; /* it was not installed */
	/* A visitor who has left must not end the worker's way to the end of its request. */
	PG(ignore_user_abort) = true;
	if (answer.holds || (store_was_refused() && !answer.has_begun)) decide();
	/* Too late for a status: the visitor gets an answer that is broken off. */
	else if (store_was_refused() && !answer.is_finished) _exit(1);
	PG(ignore_user_abort) = ignored;
	forget();
}
