/* What this node knows, for people; the writer knows more. */

#include "service.h"
#include <stdio.h>
#include <unistd.h>

static void add_string(bytes *into, const char *name, const char *text) {
	bytes_add_text(into, ", \"%s\": \"", name);
	for (; *text != '\0'; text++) {
		if (*text == '"' || *text == '\\') bytes_add_text(into, "\\%c", *text);
		else if ((unsigned char)*text >= ' ' && (unsigned char)*text < 127) bytes_add(into, text, 1);
	}
	bytes_add(into, "\"", 1);
}

static void add_number(bytes *into, const char *name, unsigned long long number) {
	bytes_add_text(into, ", \"%s\": %llu", name, number);
}

static void add_truth(bytes *into, const char *name, bool is_so) {
	bytes_add_text(into, ", \"%s\": %s", name, is_so ? "true" : "false");
}

/* The bytes that this process has in memory. */
static unsigned long long memory(void) {
	unsigned long long all, resident = 0;
	FILE *told = fopen("/proc/self/statm", "re");
	if (told == NULL) return 0;
	if (fscanf(told, "%llu %llu", &all, &resident) != 2) resident = 0;
	fclose(told);
	return resident * sysconf(_SC_PAGESIZE);
}

void add_statistics(bytes *told, size_t workers, const char *trouble) {
	const position *at = &sessions.position;
	bytes_add_number(told, IS_TOLD, 1);
	bytes_add_text(told, "{\"node\": \"%s\"", me.name);
	add_truth(told, "writes", writing.serves);
	add_truth(told, "linked", node_is_linked());
	add_number(told, "stored", sessions.stored);
	add_number(told, "segment", at->segment);
	bytes_add_text(told, ", \"position\": [%llu, %llu, \"", (unsigned long long)at->segment, (unsigned long long)at->offset);
	for (int i = 0; i < CHAIN_SIZE; i++) bytes_add_text(told, "%02x", at->chain[i]);
	bytes_add_text(told, "\"]");
	add_number(told, "time", writing.serves ? log_now() : sessions.time);
	add_number(told, "workers", workers);
	add_string(told, "trouble", trouble);
	add_number(told, "process", getpid());
	add_number(told, "memory", memory());
	if (writing.serves) {
		add_string(told, "writer", me.name);
		add_number(told, "since", writing.since);
		add_number(told, "first", sessions.segments[0].number);
		add_number(told, "segments", sessions.segment_count);
		add_number(told, "bytes", sessions.log_bytes);
		add_number(told, "live", sessions.live);
		add_number(told, "sessions", sessions.stored);
		add_number(told, "known", sessions.entries->count);
		add_number(told, "turns", turn_count);
		add_number(told, "waiting", waiting_count);
		add_number(told, "commits", writing.commits);
		add_truth(told, "full", writing.is_full);
	}
	bytes_add(told, "}", 1);
}
