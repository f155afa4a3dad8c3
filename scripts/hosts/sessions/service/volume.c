/* Segments as files on the volume, and whether the bricks still have what is written to one.
 *
 * What decides is asked by name, past every cache: a look-up, then a new open, then reads that go around the page cache. All
 * of this may wait for the volume, and none of it is for the loop. */

#include "service.h"
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define AS_FOLDER (O_RDONLY | O_DIRECTORY | O_CLOEXEC)
/* It comes as a whole, and has a few lines for each open file of the mount. */
#define TOLD_BYTES (1 << 17)

const char *mount_point;

static void segment_path(uint64_t number, char *path) {
	snprintf(path, PATH_SIZE, "%s/log/segment-%012llu", mount_point, (unsigned long long)number);
}

/* The client of the mounted volume, as `.meta` shows it. It answers by itself and asks no brick. */

static int graphs = -1, clients[MAX_BRICKS], client_count;
static char graph[GRAPH_SIZE];

static void forget_clients(void) {
	while (client_count > 0) close(clients[--client_count]);
	graph[0] = '\0';
}

/* Lets go of the mount, until it is asked again. */
static void leave_mount(void) {
	forget_clients();
	if (graphs >= 0) close(graphs);
	graphs = -1;
}

/* Whether it is the client of a brick. The arbiter is none: it holds no data. */
static int is_client(const struct dirent *found) {
	static const char mark[] = "-client-";
	const char *number = strstr(found->d_name, mark);
	if (number == NULL) return 0;
	number += sizeof mark - 1;
	return *number != '\0' && strspn(number, "0123456789") == strlen(number);
}

static bool turn_to(const char *name) {
	struct dirent **found;
	int count, folder = openat(graphs, name, AS_FOLDER);
	bool well = folder >= 0;
	forget_clients();
	if (!well || (count = scandirat(graphs, name, &found, is_client, alphasort)) < 0) {
		if (well) close(folder);
		return false;
	}
	for (int i = 0; i < count; i++) {
		well = well && i < MAX_BRICKS && (clients[client_count] = openat(folder, found[i]->d_name, AS_FOLDER)) >= 0;
		client_count += well;
		free(found[i]);
	}
	free(found);
	close(folder);
	if (well) snprintf(graph, sizeof graph, "%s", name);
	return well;
}

/* Whether a line tells of a file; then, whether that one is open. */
static bool is_of_file(const char *line, bool *is_open) {
	if (strncmp(line, "fd.", 3) != 0) return false;
	line += 3 + strspn(line + 3, "0123456789");
	*is_open = strncmp(line, ".remote_fd = ", 13) == 0 && isdigit((unsigned char)line[13]);
	return true;
}

/* Whether a brick has a file of this mount open and locked. Nobody else locks files of this volume here. */
static bool has_file(const char *text) {
	bool is_open = false;
	for (const char *line = text; line != NULL; line = strchr(line, '\n'), line += line != NULL)
		if (!is_of_file(line, &is_open) && is_open && strncmp(line, "granted-posix-lock", 18) == 0) return true;
	return false;
}

static bool ask_clients(bricks *told) {
	static char text[TOLD_BYTES];
	ssize_t length = readlinkat(graphs, "active", told->graph, sizeof told->graph - 1);
	if (length < 0) return false;
	told->graph[length] = '\0';
	if (strcmp(told->graph, graph) != 0 && !turn_to(told->graph)) return false;
	told->count = client_count;
	for (int i = 0; i < client_count; i++) {
		int file = openat(clients[i], "private", O_RDONLY | O_CLOEXEC);
		if (file < 0) return false;
		length = read(file, text, sizeof text - 1);
		close(file);
		if (length < 0) return false;
		text[length] = '\0';
		if (strstr(text, "\nconnected = 1\n") != NULL) told->connected |= (uint64_t)1 << i;
		if (has_file(text)) told->good |= (uint64_t)1 << i;
	}
	return true;
}

/* What the mount's client says of its bricks. Another mount may have taken its place. */
static bool ask_bricks(bricks *told, failure *why) {
	char path[PATH_SIZE];
	*told = (bricks){0};
	snprintf(path, sizeof path, "%s/.meta/graphs", mount_point);
	if ((graphs >= 0 || (graphs = open(path, AS_FOLDER)) >= 0) && ask_clients(told)) return true;
	fails_with_errno(why, "the mount says nothing of its bricks");
	leave_mount();
	return false;
}

/* The segment that this service has created, and alone writes. */

bool segment_create(segment *made, uint64_t number, failure *why) {
	char path[PATH_SIZE];
	segment_path(number, path);
	*made = (segment){.number = number, .file = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600)};
	if (made->file < 0 && errno == EEXIST)
		return fails(why, DEPOSED, "segment %llu is another's", (unsigned long long)number);
	return made->file >= 0 || fails_with_errno(why, "no segment can be created");
}

bool segment_open(segment *made, failure *why) {
	/* One that was taken away while something of it was open lives on, beside the one that took its place. */
	leave_mount();
	/* A file that had a lock and lost a connection is bad there for ever: with it a loss that is over is seen, too. */
	if (flock(made->file, LOCK_EX | LOCK_NB) != 0) return fails_with_errno(why, "the segment cannot be locked");
	if (!ask_bricks(&made->opened, why)) return false;
	return made->opened.good != 0
		|| fails(why, IO_FAILURE, "no brick has segment %llu open", (unsigned long long)made->number);
}

bool segment_write(const segment *to, const unsigned char *data, size_t length, uint64_t offset, failure *why) {
	while (length > 0) {
		ssize_t written = pwrite(to->file, data, length, offset);
		if (written < 0) return fails_with_errno(why, "the segment cannot be written");
		if (written == 0 || written % BLOCK != 0) return fails(why, IO_FAILURE, "only a part was written");
		data += written;
		length -= written;
		offset += written;
	}
	return true;
}

bool segment_sync(const segment *to, failure *why) {
	return fdatasync(to->file) == 0 || fails_with_errno(why, "the disks do not have the segment");
}

bool segment_check(const segment *of, failure *why) {
	bricks now;
	if (!ask_bricks(&now, why)) return false;
	if (strcmp(now.graph, of->opened.graph) == 0 && (of->opened.good & ~now.good) == 0) return true;
	return fails(why, IO_FAILURE, "segment %llu is not whole: a brick has lost it", (unsigned long long)of->number);
}

bool is_everywhere(const segment *of) { return of->opened.good == ((uint64_t)1 << of->opened.count) - 1; }

bool misses_brick(const segment *of, bool *misses, failure *why) {
	bricks now;
	if (!ask_bricks(&now, why)) return false;
	*misses = (now.connected & ~(now.good & of->opened.good)) != 0;
	return true;
}

void segment_close(segment *of) {
	/* What was not confirmed is nobody's. */
	if (of->file >= 0) close(of->file);
	of->file = -1;
}

/* All segments. */

int segment_exists(uint64_t number, failure *why) {
	char path[PATH_SIZE];
	struct stat found;
	segment_path(number, path);
	if (stat(path, &found) == 0) return 1;
	if (errno == ENOENT) return 0;
	fails_with_errno(why, "the folder of the log cannot be looked at");
	return -1;
}

/* A listing may show removed ones, and lack the last. */
static bool list_segments(void (*found)(void *context, uint64_t number), void *context, failure *why) {
	char path[PATH_SIZE];
	struct stat looked_up;
	struct dirent *each;
	DIR *folder;
	snprintf(path, sizeof path, "%s/log", mount_point);
	if (stat(path, &looked_up) != 0 || (folder = opendir(path)) == NULL)
		return fails_with_errno(why, "the folder of the log cannot be read");
	for (errno = 0; (each = readdir(folder)) != NULL; errno = 0) {
		const char *number = each->d_name + 8;
		if (strncmp(each->d_name, "segment-", 8) == 0 && strlen(number) == 12 && strspn(number, "0123456789") == 12)
			found(context, strtoull(number, NULL, 10));
	}
	if (errno != 0) fails_with_errno(why, "the folder of the log cannot be read");
	closedir(folder);
	return why->kind == NO_FAILURE;
}

static void note_greatest(void *context, uint64_t number) {
	uint64_t *greatest = context;
	if (*greatest < number) *greatest = number;
}

bool newest_segment(uint64_t known, uint64_t *newest, failure *why) {
	int exists;
	*newest = known;
	if (!list_segments(note_greatest, newest, why)) return false;
	if (*newest == 0) return fails(why, LOG_FAILURE, "the volume has no log");
	while ((exists = segment_exists(*newest + 1, why)) > 0) ++*newest;
	return exists == 0;
}

static void remove_segment(uint64_t number) {
	char path[PATH_SIZE];
	segment_path(number, path);
	if (unlink(path) != 0 && errno != ENOENT)
		/* What is left is in nobody's way, and goes with the next ones. */
		say("cannot remove segment %llu: %s", (unsigned long long)number, strerror(errno));
}

typedef struct { uint64_t *at; size_t count; } numbers;

static void note_number(void *context, uint64_t number) {
	numbers *all = context;
	all->at = realloc(all->at, (all->count + 1) * sizeof *all->at);
	if (all->at == NULL) abort();
	all->at[all->count++] = number;
}

static int compared(const void *one, const void *other) {
	uint64_t a = *(const uint64_t *)one, b = *(const uint64_t *)other;
	return (a > b) - (a < b);
}

void remove_segments(uint64_t first) {
	failure why = {0};
	numbers all = {0};
	if (!list_segments(note_number, &all, &why)) say("cannot remove what is older than segment %llu: %s", (unsigned long long)first, why.text);
	/* In order: whoever finds one has those behind it. */
	qsort(all.at, all.count, sizeof *all.at, compared);
	for (size_t i = 0; i < all.count; i++)
		if (all.at[i] < first) remove_segment(all.at[i]);
	free(all.at);
}

int segment_to_read(uint64_t number, failure *why) {
	char path[PATH_SIZE];
	int exists = segment_exists(number, why), file = -1;
	segment_path(number, path);
	if (exists > 0 && (file = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC)) < 0) {
		exists = errno == ENOENT ? 0 : -1;
		fails_with_errno(why, "a segment cannot be opened");
	}
	if (exists == 0) fails(why, LOG_FAILURE, "segment %llu is missing", (unsigned long long)number);
	return file;
}

bool room_of_volume(uint64_t *left, uint64_t *total, failure *why) {
	char path[PATH_SIZE];
	struct statvfs found;
	snprintf(path, sizeof path, "%s/log", mount_point);
	if (statvfs(path, &found) != 0) return fails_with_errno(why, "the volume does not tell its room");
	*left = (uint64_t)found.f_bavail * found.f_frsize;
	*total = (uint64_t)found.f_blocks * found.f_frsize;
	return true;
}
