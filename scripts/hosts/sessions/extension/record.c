/* The file of one session: a checked record. docs/sessions.md has the format, and the accident that each rule prevents. */

#include "cluster.h"
#include "ext/hash/php_hash.h"
#include "ext/hash/php_hash_sha.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC "PCSREC"
#define INLINE_RECORD MAGIC "01"    /* the data follows the header */
#define APART_RECORD MAGIC "02"     /* the data lies where the header says */
#define REPLACED_RECORD MAGIC "03"  /* no data: a page has given its visitor another id */
#define MAGIC_SIZE 8
#define HEADER_SIZE (MAGIC_SIZE + 8 + 8 + 32)
#define BLOCK 4096
/* So much goes to the bricks as one operation, which happens or does not: a mount splits at 128 KiB. */
#define ONE_WRITE (64 * 1024)
/* Longer than a volume with the article's options keeps a file's attributes. */
#define STALE_SECONDS 3
/* Ten years: XFS has known times up to 2038. */
#define MAX_LIFETIME (10 * 365 * 86400)
/* Pauses before a file that is not found is looked for again, in microseconds. */
static const useconds_t SECOND_LOOKS[] = {10000, 40000, 100000};
#define LOOKS (sizeof(SECOND_LOOKS) / sizeof(*SECOND_LOOKS))

struct record {
	char id[257];
	char path[MAXPATHLEN];
	int file;
	time_t changed;
	uint64_t size;
	uint64_t sequence;
	uint64_t offset;  /* where the data of a record with APART_RECORD lies now; 0 for others */
	uint64_t length;  /* of the data */
	record_state state;
	bool is_read;
	bool is_changed;
};

/* A file of no name, whose bytes are the places of those who wait: its locks end with the process that has them. */
static int waiting_room = -1;

bool record_prepare_waiting(void) {
	waiting_room = memfd_create("php-cluster-waiting", MFD_CLOEXEC);
	return waiting_room >= 0;
}

double monotonic_seconds(void) {
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

static void store_number(unsigned char *at, uint64_t number) {
	for (int i = 7; i >= 0; i--, number >>= 8) at[i] = number & 0xff;
}

static uint64_t number_at(const unsigned char *at) {
	uint64_t number = 0;
	for (int i = 0; i < 8; i++) number = number << 8 | at[i];
	return number;
}

static uint64_t rounded_up(uint64_t size) { return (size + BLOCK - 1) / BLOCK * BLOCK; }

/* The SHA-256 over length, sequence number and data. */
static void checksum(unsigned char *sum, uint64_t length, uint64_t sequence, const void *data) {
	PHP_SHA256_CTX context;
	unsigned char numbers[16];
	store_number(numbers, length);
	store_number(numbers + 8, sequence);
	PHP_SHA256InitArgs(&context, NULL);
	PHP_SHA256Update(&context, numbers, sizeof numbers);
	PHP_SHA256Update(&context, data, length);
	PHP_SHA256Final(sum, &context);
}

/* So many bytes from there, fewer only at the end of the file; -1 when it cannot be read. */
static ssize_t bytes(const record *held, void *into, size_t count, uint64_t offset) {
	size_t done = 0;
	while (done < count) {
		ssize_t part = pread(held->file, (char *)into + done, count - done, offset + done);
		if (part < 0 && errno == EINTR) continue;
		if (part < 0) return -1;
		if (part == 0) break;
		done += part;
	}
	return done;
}

static bool put(record *held, const void *text, size_t length, uint64_t offset) {
	ssize_t written = pwrite(held->file, text, length, offset);
	if (written < 0) return fails_with_errno("it cannot be stored");
	if ((size_t)written != length) return fails("it cannot be stored: there is no room for it");
	if (held->size < offset + length) held->size = offset + length;
	return true;
}

/* Not before the bricks' disks have it may the visitor hear of it. Gluster takes a copy for good as soon as a brick has the
 * data in its memory, and would still do so when that brick comes back without it after a power cut. */
static bool make_durable(record *held) {
	held->is_changed = true;
	return fdatasync(held->file) == 0 || fails_with_errno("no disk has it");
}

/* A place among those who wait; -1 when all are taken. Who waits keeps a worker from all other visitors. */
static int take_place(void) {
	for (int place = 0; place < cluster.waiting_places; place++) {
		struct flock wanted = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = place, .l_len = 1};
		if (waiting_room < 0 || fcntl(waiting_room, F_SETLK, &wanted) == 0) return place;
	}
	return -1;
}

static void leave_place(int place) {
	struct flock left = {.l_type = F_UNLCK, .l_whence = SEEK_SET, .l_start = place, .l_len = 1};
	if (place >= 0 && waiting_room >= 0) fcntl(waiting_room, F_SETLK, &left);
}

/* Whether the session was stored since this was asked last: those who wait for it have their turns, then. */
static bool goes_on(int file, struct timespec *stored) {
	struct stat status;
	struct timespec before = *stored;
	if (fstat(file, &status) != 0) return false;
	*stored = status.st_mtim;
	return stored->tv_sec != before.tv_sec || stored->tv_nsec != before.tv_nsec;
}

/* Asks again and again rather than wait in the lock: a signal to a process that waits there can stop the whole mount
 * (gluster/glusterfs#4371). Nobody has the next turn by right, so one of many requests of a session may be unlucky for long:
 * where others store meanwhile, it waits for twice the time. */
static bool acquire(int file, double deadline) {
	double last = deadline + cluster.lock_seconds;
	struct timespec stored = {0};
	useconds_t pause = 1000;
	int place = -1;
	while (flock(file, LOCK_EX | LOCK_NB) != 0) {
		if (errno != EWOULDBLOCK) {
			leave_place(place);
			return fails_with_errno("its lock cannot be asked for");
		}
		if (place < 0) {
			if ((place = take_place()) < 0) return fails("too many requests wait for sessions on this node");
			goes_on(file, &stored);
		}
		if (monotonic_seconds() >= deadline) {
			if (deadline == last || !goes_on(file, &stored)) {
				leave_place(place);
				return fails("another request has held its lock for too long");
			}
			deadline = last;
		}
		usleep(pause + (int64_t)(monotonic_seconds() * 1e6) % pause);
		if (pause < 16000) pause *= 2;
	}
	leave_place(place);
	return true;
}

/* The file, or -1: `absent` says whether that is because there is none. */
static int open_file(const char *path, bool create, bool *absent) {
	int file = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | (create ? O_CREAT : 0), 0600);
	*absent = file < 0 && errno == ENOENT && !create;
	if (file < 0 && !*absent) fails_with_errno("it cannot be opened");
	return file;
}

/* While a brick is down and another one is not healed yet, Gluster may say of a file that it is just healing that there is
 * none. A visitor without a session waits a little, one with a session keeps it. */
static int find_file(const char *path, bool create, bool expected, bool *absent) {
	int file = open_file(path, create, absent);
	for (size_t look = 0; *absent && expected && look < LOOKS; look++) {
		usleep(SECOND_LOOKS[look]);
		file = open_file(path, create, absent);
	}
	return file;
}

static record *held_record(const char *id, const char *path, int file, const struct stat *status) {
	record *held = calloc(1, sizeof *held);
	char first[1];
	if (held == NULL) {
		fails("there is no memory for it");
		close(file);
		return NULL;
	}
	snprintf(held->id, sizeof held->id, "%s", id);
	snprintf(held->path, sizeof held->path, "%s", path);
	held->file = file;
	held->changed = status->st_mtime;
	held->size = status->st_size;
	/* A brick that is being healed may know the file as one of size 0, and be the one that was asked. It is not read. */
	held->state = held->size == 0 && bytes(held, first, 1, 0) == 0 ? NEVER_STORED : STORED;
	held->is_read = held->state == NEVER_STORED;
	return held;
}

static record *file_lock(const char *id, bool create, bool expected) {
	char path[MAXPATHLEN];
	double deadline = monotonic_seconds() + cluster.lock_seconds;
	*problem = '\0';
	snprintf(path, sizeof path, "%s/sess_%s", cluster.folder, id);
	while (true) {
		bool absent;
		struct stat named, opened;
		int file = find_file(path, create, expected, &absent);
		if (file < 0) return NULL;
		if (!acquire(file, deadline)) {
			close(file);
			return NULL;
		}
		/* The name is looked up again, which asks every brick. A mount reads from a brick that was well when the file was
		 * looked up last, and whoever held the lock may have been the only one to see that brick fail. */
		if (stat(path, &named) == 0 && fstat(file, &opened) == 0 && named.st_ino == opened.st_ino)
			return held_record(id, path, file, &named);
		/* While this request waited, the collector removed the file that it holds. */
		close(file);
		if (monotonic_seconds() >= deadline) {
			fails("it cannot be examined");
			return NULL;
		}
	}
}

static const char *file_id(const record *held) { return held->id; }
static record_state file_holds(const record *held) { return held->state; }
static time_t file_changed(const record *held) { return held->changed; }

/* What a session of PHP's own handler looks like, with its serializer `php` or `php_serialize`. */
static bool is_plain(const char *text, size_t length) {
	const char *bar = memchr(text, '|', length), *last = text + length - 1;
	if (length >= 6 && memcmp(text, "a:", 2) == 0 && *last == '}') {
		const char *digit = text + 2;
		while (digit < last && *digit >= '0' && *digit <= '9') digit++;
		if (digit > text + 2 && digit + 1 < last && digit[0] == ':' && digit[1] == '{') return true;
	}
	return bar != NULL && bar > text && bar + 2 <= last && strchr("abdisONCErR", bar[1]) != NULL
		&& (bar[2] == ':' || bar[2] == ';') && (*last == ';' || *last == '}');
}

/* A session that PHP's own handler stored is taken over; whether it decodes is PHP's to say. */
static bool read_plain(record *held, zend_string **data) {
	double deadline = monotonic_seconds() + STALE_SECONDS;
	while (true) {
		/* To its end, wherever that is: as long as the profile changes, the volume may have the article's options, and show
		 * a file's size of before. Zeros are room that was made for a record which found no place in the end. */
		char *text = malloc(MAX_SIZE + 1);
		ssize_t length = text == NULL ? -1 : bytes(held, text, MAX_SIZE, 0);
		while (length > 0 && text[length - 1] == '\0') length--;
		if (length > 0 && is_plain(text, length)) {
			*data = zend_string_init(text, length, 0);
			free(text);
			held->length = length;
			return true;
		}
		free(text);
		if (length < 0) return fails("it cannot be read");
		if (!cluster.write_plain || monotonic_seconds() >= deadline) return fails("it is no record");
		usleep(20000);
	}
}

static bool is_kind(const unsigned char *text, const char *magic) { return memcmp(text, magic, MAGIC_SIZE) == 0; }

/* The data of a record, whose first bytes are there. */
static bool read_record(record *held, const unsigned char *text, size_t got, zend_string **data) {
	unsigned char sum[32];
	uint64_t length, sequence, offset = 0;
	zend_string *found;
	size_t from_text;
	if (got < HEADER_SIZE + 8) return fails("its record is damaged");
	length = number_at(text + MAGIC_SIZE);
	sequence = number_at(text + MAGIC_SIZE + 8);
	if (length > MAX_SIZE) return fails("its record is damaged");
	if (is_kind(text, APART_RECORD)) offset = number_at(text + HEADER_SIZE);
	else if (!is_kind(text, INLINE_RECORD) && !is_kind(text, REPLACED_RECORD))
		return fails("its record has a format that this node does not know");
	found = zend_string_alloc(length, 0);
	from_text = offset > 0 ? 0 : MIN(length, got - HEADER_SIZE);
	memcpy(ZSTR_VAL(found), text + HEADER_SIZE, from_text);
	ZSTR_VAL(found)[length] = '\0';
	if (bytes(held, ZSTR_VAL(found) + from_text, length - from_text, offset > 0 ? offset : HEADER_SIZE + from_text)
			!= (ssize_t)(length - from_text)) {
		zend_string_release(found);
		return fails("it cannot be read");
	}
	checksum(sum, length, sequence, ZSTR_VAL(found));
	if (memcmp(sum, text + MAGIC_SIZE + 16, sizeof sum) != 0) {
		zend_string_release(found);
		return fails("its record is damaged");
	}
	held->state = is_kind(text, REPLACED_RECORD) ? REPLACED : STORED;
	held->sequence = sequence;
	held->offset = offset;
	held->length = length;
	*data = found;
	return true;
}

static bool file_read(record *held, zend_string **data) {
	static unsigned char text[ONE_WRITE];
	ssize_t got;
	if (held->state == NEVER_STORED) {
		*data = ZSTR_EMPTY_ALLOC();
		return true;
	}
	got = bytes(held, text, MIN(MAX(held->size, BLOCK), ONE_WRITE), 0);
	if (got < 0) return fails_with_errno("it cannot be read");
	held->is_read = got >= MAGIC_SIZE && memcmp(text, MAGIC, strlen(MAGIC)) == 0
		? read_record(held, text, got, data) : read_plain(held, data);
	return held->is_read;
}

/* The lock should have kept others out. Should it ever have been lost, the newer record stays. */
static bool expect_no_other(record *held) {
	unsigned char text[BLOCK];
	ssize_t got = bytes(held, text, sizeof text, 0);
	uint64_t stored = 0;
	if (got < 0) return fails_with_errno("it cannot be read");
	if (!held->is_read) return fails("it was not read before");
	if (got >= HEADER_SIZE && memcmp(text, MAGIC, strlen(MAGIC)) == 0) stored = number_at(text + MAGIC_SIZE + 8);
	return stored == held->sequence || fails("another request has changed it");
}

/* A place of so many bytes beside the data that is valid now. */
static uint64_t room_for(const record *held, uint64_t length) {
	/* A long record in the old format, or a plain session, lies from the beginning on. */
	if (held->offset == 0) return MAX(ONE_WRITE, rounded_up(HEADER_SIZE + held->length));
	return held->offset - ONE_WRITE >= rounded_up(length) ? ONE_WRITE : held->offset + rounded_up(held->length);
}

/* Room first: a full brick would take some of the new record over the old one, and leave neither. */
static bool make_room(record *held, uint64_t size) {
	char *zeros;
	bool done;
	if (held->size == 0 || size <= held->size) return true;
	zeros = calloc(1, size - held->size);
	done = zeros != NULL && put(held, zeros, size - held->size, held->size);
	free(zeros);
	return done;
}

/* Writes the data beside what is valid now, in whole blocks. */
static bool put_apart(record *held, const char *data, size_t length, uint64_t offset) {
	static const char zeros[BLOCK];
	size_t done = 0;
	while (done < length) {
		size_t part = MIN(length - done, ONE_WRITE);
		if (!put(held, data + done, part, offset + done)) return false;
		done += part;
	}
	return rounded_up(length) == length || put(held, zeros, rounded_up(length) - length, offset + length);
}

/* Puts a record of this kind in the place of the one that is there, in one write. */
static bool put_record(record *held, const char *magic, const char *data, size_t length, uint64_t offset) {
	unsigned char *text;
	bool done;
	size_t inside = offset > 0 ? 8 : length, size = rounded_up(HEADER_SIZE + inside);
	if ((text = calloc(1, size)) == NULL) return fails("it cannot be stored: there is no memory for it");
	memcpy(text, magic, MAGIC_SIZE);
	store_number(text + MAGIC_SIZE, length);
	store_number(text + MAGIC_SIZE + 8, held->sequence + 1);
	checksum(text + MAGIC_SIZE + 16, length, held->sequence + 1, data);
	if (offset > 0) store_number(text + HEADER_SIZE, offset);
	else memcpy(text + HEADER_SIZE, data, length);
	done = make_room(held, size) && put(held, text, size, 0);
	free(text);
	if (!done) return false;
	held->sequence++;
	held->offset = offset;
	held->length = length;
	held->state = is_kind((const unsigned char *)magic, REPLACED_RECORD) ? REPLACED : STORED;
	return true;
}

/* Stores the data as PHP's own handler does, which cannot read a record. */
static bool write_plain(record *held, const char *data, size_t length) {
	/* Its size first. Cut to nothing, a stop at this moment would leave an empty session, which is a new one. */
	if (ftruncate(held->file, length) != 0) return fails_with_errno("its size cannot be changed");
	held->size = length;
	if (length > 0 && !put(held, data, length, 0)) return false;
	held->sequence = held->offset = 0;
	held->length = length;
	held->state = length > 0 ? STORED : NEVER_STORED;
	return true;
}

/* A site may say that its sessions never end. No file's time lies so far ahead. */
zend_long bounded_lifetime(zend_long lifetime) { return MIN(MAX(lifetime, 0), MAX_LIFETIME); }

/* The collector removes what has not changed for cluster.lifetime seconds. A session that is to live longer, or less long,
 * has changed so much later, or earlier, as far as the collector can see. */
static time_t change_now(zend_long lifetime) { return time(NULL) + bounded_lifetime(lifetime) - cluster.lifetime; }

static time_t file_ends(const record *held) { return held->changed + cluster.lifetime; }

static bool set_expiry(record *held, zend_long lifetime) {
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = change_now(lifetime)}};
	if (lifetime == cluster.lifetime) return true;
	return futimens(held->file, times) == 0 || fails_with_errno("its time cannot be set");
}

static bool file_write(record *held, const char *data, size_t length, zend_long lifetime) {
	uint64_t offset = 0;
	bool done;
	if (length > MAX_SIZE) return fails("it has more than 16 MiB");
	if (!expect_no_other(held)) return false;
	if (cluster.write_plain) {
		done = write_plain(held, data, length);
	} else if (HEADER_SIZE + length <= ONE_WRITE) {
		done = put_record(held, INLINE_RECORD, data, length, 0);
	} else {
		/* What is valid now stays as it is until one small write turns to what is new. */
		offset = room_for(held, length);
		done = put_apart(held, data, length, offset) && make_durable(held)
			&& put_record(held, APART_RECORD, data, length, offset);
	}
	if (!done || !set_expiry(held, lifetime) || !make_durable(held)) return false;
	held->changed = change_now(lifetime);
	return true;
}

/* Ends the session. Its file is emptied, not removed: others may wait for its lock. The collector removes it. */
static bool file_end(record *held) {
	if (!expect_no_other(held)) return false;
	if (ftruncate(held->file, 0) != 0) return fails_with_errno("it cannot be emptied");
	held->size = held->sequence = held->offset = held->length = 0;
	held->state = NEVER_STORED;
	return make_durable(held);
}

static bool file_replace(record *held) {
	if (cluster.write_plain) return file_end(held);
	if (!expect_no_other(held) || !put_record(held, REPLACED_RECORD, "", 0, 0) || !make_durable(held)) return false;
	held->changed = time(NULL);
	return true;
}

/* Puts a plain session in the place of a record, all at once: there is no moment with half of it. */
static int file_become_plain(record *held) {
	unsigned char magic[MAGIC_SIZE];
	char new[MAXPATHLEN];
	zend_string *data;
	int file;
	bool absent, done;
	/* It expires when it would have. */
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = held->changed}};
	if (held->state == NEVER_STORED || bytes(held, magic, sizeof magic, 0) != sizeof magic
			|| memcmp(magic, MAGIC, strlen(MAGIC)) != 0)
		return 0;
	if (!file_read(held, &data)) return -1;
	snprintf(new, sizeof new, "%s/.php-cluster-plain", cluster.folder);
	if ((file = open_file(new, true, &absent)) < 0) return -1;
	done = ftruncate(file, 0) == 0 && write(file, ZSTR_VAL(data), ZSTR_LEN(data)) == (ssize_t)ZSTR_LEN(data)
		&& futimens(file, times) == 0 && fdatasync(file) == 0;
	done = close(file) == 0 && done && rename(new, held->path) == 0;
	if (!done) fails_with_errno("it cannot be replaced");
	zend_string_release(data);
	return done ? 1 : -1;
}

/* After a change Gluster waits for a second whether there is another one (cluster.post-op-delay-secs), unless the file is
 * closed; and keeps it open, and locked, until then. A close that comes as quickly as this one may find it about to wait, and
 * does not end it. So the lock is given back first, and by the time of its answer Gluster waits. */
static void file_release(record *held) {
	if (held->is_changed) flock(held->file, LOCK_UN);
	close(held->file);
	free(held);
}

const record_store record_files = {
	file_lock, file_id, file_holds, file_changed, file_ends,
	file_read, file_write, file_end, file_replace, file_become_plain, file_release,
};
const record_store *records = &record_files;
