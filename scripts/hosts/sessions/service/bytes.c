/* Bytes that grow, and numbers in them. */

#include "service.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void *allocated(size_t size) {
	void *made = malloc(size);
	/* systemd starts it anew; another node writes meanwhile. */
	if (made == NULL) abort();
	return made;
}

void bytes_reserve(bytes *into, size_t more) {
	size_t needed = into->length + more;
	if (needed <= into->room) return;
	if (needed < 2 * into->room) needed = 2 * into->room;
	into->at = realloc(into->at, needed);
	if (into->at == NULL) abort();
	into->room = needed;
}

void bytes_add(bytes *into, const void *what, size_t length) {
	bytes_reserve(into, length);
	if (length > 0) memcpy(into->at + into->length, what, length);
	into->length += length;
}

void bytes_add_number(bytes *into, uint64_t number, int size) {
	bytes_reserve(into, size);
	set_number(into->at + into->length, number, size);
	into->length += size;
}

void bytes_add_text(bytes *into, const char *format, ...) {
	va_list arguments;
	int length;
	va_start(arguments, format);
	length = vsnprintf(NULL, 0, format, arguments);
	va_end(arguments);
	bytes_reserve(into, length + 1);
	va_start(arguments, format);
	vsnprintf((char *)into->at + into->length, length + 1, format, arguments);
	va_end(arguments);
	into->length += length;
}

void bytes_free(bytes *which) {
	free(which->at);
	*which = (bytes){0};
}

uint64_t number_at(const unsigned char *at, int size) {
	uint64_t number = 0;
	for (int i = 0; i < size; i++) number = number << 8 | at[i];
	return number;
}

void set_number(unsigned char *at, uint64_t number, int size) {
	for (int i = size - 1; i >= 0; i--, number >>= 8) at[i] = number & 0xff;
}

bool fails(failure *why, failure_kind kind, const char *format, ...) {
	va_list arguments;
	why->kind = kind;
	va_start(arguments, format);
	vsnprintf(why->text, sizeof why->text, format, arguments);
	va_end(arguments);
	return false;
}

bool fails_with_errno(failure *why, const char *what) {
	return fails(why, IO_FAILURE, "%s: %s", what, strerror(errno));
}

double monotonic_seconds(void) {
	struct timespec now;
	/* It goes on while the machine sleeps. */
	clock_gettime(CLOCK_BOOTTIME, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

void say(const char *format, ...) {
	va_list arguments;
	char text[512];
	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	fprintf(stderr, "%s\n", text);
}
