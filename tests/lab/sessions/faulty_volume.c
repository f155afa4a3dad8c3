/* What a volume may do to the service, for tests: loaded before the C library. The folder CONTROL has a file for each fault.
 *
 *   hold        a write waits as long as it is there; `held` tells that one does
 *   fail        the next write is done, and fails
 *   away        whatever is looked up or opened to be read fails
 *   hold-read   it tells how many reads go on; the others wait as long as it is there
 *
 * At SIGUSR1 all connections to other nodes end, as a network may end them. */

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static void path_of(const char *name, char *path, size_t size) { snprintf(path, size, "%s/%s", getenv("CONTROL"), name); }

static int is_there(const char *name) {
	char path[512];
	path_of(name, path, sizeof path);
	return access(path, F_OK) == 0;
}

static void wait_while(const char *name) {
	while (is_there(name)) usleep(5000);
}

ssize_t pwrite(int file, const void *data, size_t length, off_t offset) {
	static ssize_t (*real)(int, const void *, size_t, off_t);
	char path[512];
	ssize_t written;
	if (real == NULL) real = dlsym(RTLD_NEXT, "pwrite");
	if (is_there("hold")) {
		path_of("held", path, sizeof path);
		close(open(path, O_WRONLY | O_CREAT, 0600));
		wait_while("hold");
		unlink(path);
	}
	written = real(file, data, length, offset);
	path_of("fail", path, sizeof path);
	if (unlink(path) != 0) return written;
	errno = EIO;
	return -1;
}

ssize_t pread(int file, void *into, size_t length, off_t offset) {
	static ssize_t (*real)(int, void *, size_t, off_t);
	static int count;
	char path[512], text[16] = "";
	int told;
	if (real == NULL) real = dlsym(RTLD_NEXT, "pread");
	path_of("hold-read", path, sizeof path);
	if ((told = open(path, O_RDONLY)) < 0) {
		count = 0;
	} else {
		if (read(told, text, sizeof text - 1) < 0) text[0] = '\0';
		close(told);
		if (++count > atoi(text)) wait_while("hold-read");
	}
	return real(file, into, length, offset);
}

static void end_connections(int number) {
	struct sockaddr address;
	(void)number;
	for (int file = 3; file < 256; file++) {
		socklen_t size = sizeof address;
		if (getpeername(file, &address, &size) == 0 && address.sa_family == AF_INET) shutdown(file, SHUT_RDWR);
	}
}

int stat(const char *path, struct stat *found) {
	static int (*real)(const char *, struct stat *);
	/* The first thing that a service does. */
	if (real == NULL) signal(SIGUSR1, end_connections);
	if (real == NULL) real = dlsym(RTLD_NEXT, "stat");
	if (is_there("away")) {
		errno = ENOTCONN;
		return -1;
	}
	return real(path, found);
}
