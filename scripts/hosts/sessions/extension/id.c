/* Session ids. The end of an id that this cluster drew is a check of the rest, by a key that lies beside the sessions. So an
 * id that somebody made up is known for one at once, and nobody waits for Gluster to find its session after all. */

#include "cluster.h"
#include "ext/hash/php_hash.h"
#include "ext/hash/php_hash_sha.h"
#include "ext/session/php_session.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/random.h>
#include <unistd.h>

#define KEY_SIZE 32
#define CHECK_LENGTH 6
/* What is left of an id has at least 16 characters of 4 bits. */
#define MIN_LENGTH 22

static unsigned char key[KEY_SIZE];
static bool has_key;

/* Makes the key if nobody has: written beside its place and linked there, so that all read one that is whole. */
static void make_key(const char *path) {
	char new[MAXPATHLEN];
	unsigned char drawn[KEY_SIZE];
	int file;
	snprintf(new, sizeof new, "%s.%d.%lx", path, (int)getpid(), (long)time(NULL));
	if (getrandom(drawn, sizeof drawn, 0) != sizeof drawn) return;
	if ((file = open(new, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)) < 0) return;
	if (write(file, drawn, sizeof drawn) == sizeof drawn && fdatasync(file) == 0) link(new, path);
	close(file);
	unlink(new);
}

/* Reads the key, once for each process. Without one all ids count as drawn here, which costs time and nothing else. */
static bool get_key(void) {
	char path[MAXPATHLEN];
	int file;
	if (has_key) return true;
	snprintf(path, sizeof path, "%s/.php-cluster-id-key", cluster.folder);
	if ((file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)) < 0 && errno == ENOENT) {
		make_key(path);
		file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	}
	if (file < 0) return false;
	has_key = read(file, key, sizeof key) == sizeof key;
	close(file);
	return has_key;
}

static void check_of(const char *id, size_t length, char *check) {
	PHP_SHA256_CTX context;
	unsigned char sum[32];
	PHP_SHA256InitArgs(&context, NULL);
	PHP_SHA256Update(&context, key, sizeof key);
	PHP_SHA256Update(&context, (const unsigned char *)id, length);
	PHP_SHA256Final(sum, &context);
	for (int i = 0; i < CHECK_LENGTH; i++) check[i] = "0123456789abcdef"[sum[i] & 15];
}

/* As PHP draws it, of the site's length and characters, but for its end. */
zend_string *id_draw(void) {
	zend_string *id = php_session_create_id(NULL);
	if (id != NULL && ZSTR_LEN(id) >= MIN_LENGTH && get_key()) {
		size_t rest = ZSTR_LEN(id) - CHECK_LENGTH;
		check_of(ZSTR_VAL(id), rest, ZSTR_VAL(id) + rest);
	}
	return id;
}

void id_name(const char *id, char name[13]) {
	PHP_SHA256_CTX context;
	unsigned char sum[32];
	PHP_SHA256InitArgs(&context, NULL);
	PHP_SHA256Update(&context, (const unsigned char *)id, strlen(id));
	PHP_SHA256Final(sum, &context);
	for (int i = 0; i < 6; i++) snprintf(name + 2 * i, 3, "%02x", sum[i]);
}

bool id_is_ours(const char *id) {
	char check[CHECK_LENGTH];
	size_t length = strlen(id);
	if (!get_key()) return true;
	if (length < MIN_LENGTH) return false;
	check_of(id, length - CHECK_LENGTH, check);
	return memcmp(check, id + length - CHECK_LENGTH, CHECK_LENGTH) == 0;
}
