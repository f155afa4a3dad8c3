/* What the log consists of. A segment is a file of batches, each of them one commit; a batch holds records.
 *
 * Each batch is chained to the one before it by a hash, tells where it lies, and up to where all was confirmed when it was
 * written. Numbers are big-endian. Batches fill whole blocks, so that they can be read past the page cache. */

#include "service.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static const unsigned char UPDATES[4] = "PCLB", FIRST[4] = "PCLS";

/* libcrypto's; what it keeps between two parts. Its headers are not on every machine. */
typedef struct {
	uint32_t state[8], low, high, rest[16];
	unsigned int used, length;
} SHA256_CTX;
int SHA256_Init(SHA256_CTX *context);
int SHA256_Update(SHA256_CTX *context, const void *data, size_t length);
int SHA256_Final(unsigned char *digest, SHA256_CTX *context);

bool is_same_position(const position *one, const position *other) {
	return one->segment == other->segment && one->offset == other->offset
		&& memcmp(one->chain, other->chain, CHAIN_SIZE) == 0;
}

size_t record_size(size_t id_length, size_t length) { return RECORD_SIZE + id_length + length; }

void record_add(bytes *into, const record *added) {
	bytes_add_number(into, added->kind, 1);
	bytes_add_number(into, added->id_length, 1);
	bytes_add_number(into, added->length, 4);
	bytes_add_number(into, added->version, 8);
	bytes_add(into, added->request, REQUEST_SIZE);
	bytes_add_number(into, added->lifetime, 4);
	bytes_add_number(into, added->changed, 8);
	bytes_add(into, added->id, added->id_length);
	bytes_add(into, added->data, added->length);
}

bool record_next(const unsigned char **at, const unsigned char *end, record *found) {
	const unsigned char *from = *at;
	if (end - from < RECORD_SIZE) return false;
	found->kind = from[0];
	found->id_length = from[1];
	found->length = number_at(from + 2, 4);
	found->version = number_at(from + 6, 8);
	memcpy(found->request, from + 14, REQUEST_SIZE);
	found->lifetime = number_at(from + 22, 4);
	found->changed = number_at(from + 26, 8);
	found->id = from + RECORD_SIZE;
	found->data = found->id + found->id_length;
	if (found->kind > REPLACED || (size_t)(end - found->id) < (size_t)found->id_length + found->length) return false;
	*at = found->data + found->length;
	return true;
}

/* The hash of a batch: over that of the one before, its fields without its own hash, and what it holds. */
static void chain_of(const position *start, const unsigned char *data, size_t payload, unsigned char *chain) {
	static const unsigned char none[CHAIN_SIZE];
	SHA256_CTX context;
	SHA256_Init(&context);
	SHA256_Update(&context, start->chain, CHAIN_SIZE);
	SHA256_Update(&context, data, BATCH_SIZE - CHAIN_SIZE);
	SHA256_Update(&context, none, CHAIN_SIZE);
	SHA256_Update(&context, data + BATCH_SIZE, payload);
	SHA256_Final(chain, &context);
}

void batch_begin(bytes *into, const head *told) {
	bytes text = {0};
	into->length = 0;
	bytes_reserve(into, BATCH_SIZE);
	memset(into->at, 0, BATCH_SIZE);
	into->length = BATCH_SIZE;
	if (told == NULL) return;
	bytes_add_text(&text, "{\"format\": %d, \"first\": %llu, \"previous\": ", FORMAT, (unsigned long long)told->first);
	if (told->has_previous) {
		bytes_add_text(&text, "[%llu, %llu, \"", (unsigned long long)told->previous.segment,
			(unsigned long long)told->previous.offset);
		for (int i = 0; i < CHAIN_SIZE; i++) bytes_add_text(&text, "%02x", told->previous.chain[i]);
		bytes_add_text(&text, "\"]");
	} else {
		bytes_add_text(&text, "null");
	}
	bytes_add_text(&text, ", \"next_version\": %llu, \"writer\": \"%s\", \"address\": \"%s\"}",
		(unsigned long long)told->next_version, told->writer, told->address);
	bytes_add_number(into, text.length, 4);
	bytes_add(into, text.at, text.length);
	bytes_free(&text);
}

void batch_end(bytes *into, bool is_first, const position *start, uint64_t time, position *end) {
	size_t payload = into->length - BATCH_SIZE, padding = -into->length & (BLOCK - 1);
	bytes_reserve(into, padding);
	memset(into->at + into->length, 0, padding);
	into->length += padding;
	memcpy(into->at, is_first ? FIRST : UPDATES, 4);
	set_number(into->at + 4, payload, 4);
	set_number(into->at + 8, start->segment, 8);
	set_number(into->at + 16, start->offset, 8);
	set_number(into->at + 24, start->offset, 8);
	set_number(into->at + 32, time, 8);
	*end = (position){start->segment, start->offset + into->length, {0}};
	chain_of(start, into->at, payload, end->chain);
	memcpy(into->at + BATCH_SIZE - CHAIN_SIZE, end->chain, CHAIN_SIZE);
}

/* The JSON text of a header: what is written above, in any order, and nothing else. */

typedef struct { const char *at, *end; } text;

static void skip_space(text *from) {
	while (from->at < from->end && isspace((unsigned char)*from->at)) from->at++;
}

static bool is_next(text *from, char wanted) {
	skip_space(from);
	if (from->at == from->end || *from->at != wanted) return false;
	from->at++;
	return true;
}

static bool read_number(text *from, uint64_t *number) {
	const char *begin;
	skip_space(from);
	begin = from->at;
	for (*number = 0; from->at < from->end && isdigit((unsigned char)*from->at); from->at++) {
		if (*number > (UINT64_MAX - 9) / 10) return false;
		*number = *number * 10 + (*from->at - '0');
	}
	return from->at > begin;
}

static bool read_string(text *from, char *into, size_t room) {
	size_t length = 0;
	if (!is_next(from, '"')) return false;
	while (from->at < from->end && *from->at != '"') {
		if (*from->at == '\\' || length + 1 == room) return false;
		into[length++] = *from->at++;
	}
	into[length] = '\0';
	return is_next(from, '"');
}

static bool read_previous(text *from, head *told) {
	char chain[2 * CHAIN_SIZE + 1], digits[3] = "";
	if ((told->has_previous = is_next(from, '['))) {
		if (!read_number(from, &told->previous.segment) || !is_next(from, ',') || !read_number(from, &told->previous.offset)
			|| !is_next(from, ',') || !read_string(from, chain, sizeof chain) || strlen(chain) != 2 * CHAIN_SIZE
			|| strspn(chain, "0123456789abcdef") != 2 * CHAIN_SIZE) return false;
		for (int i = 0; i < CHAIN_SIZE; i++) {
			memcpy(digits, chain + 2 * i, 2);
			told->previous.chain[i] = strtoul(digits, NULL, 16);
		}
		return is_next(from, ']');
	}
	if (from->end - from->at < 4 || memcmp(from->at, "null", 4) != 0) return false;
	from->at += 4;
	return true;
}

static bool read_head(text from, head *told, uint64_t *format) {
	enum { HAS_FIRST = 1, HAS_PREVIOUS = 2, HAS_VERSION = 4, HAS_WRITER = 8, HAS_ADDRESS = 16, HAS_ALL = 31 };
	char name[32];
	int has = 0;
	bool well = is_next(&from, '{');
	*format = 1;
	do {
		well = well && read_string(&from, name, sizeof name) && is_next(&from, ':');
		if (!well) return false;
		if (strcmp(name, "format") == 0) well = read_number(&from, format);
		else if (strcmp(name, "first") == 0) has |= HAS_FIRST, well = read_number(&from, &told->first);
		else if (strcmp(name, "previous") == 0) has |= HAS_PREVIOUS, well = read_previous(&from, told);
		else if (strcmp(name, "next_version") == 0) has |= HAS_VERSION, well = read_number(&from, &told->next_version);
		else if (strcmp(name, "writer") == 0) has |= HAS_WRITER, well = read_string(&from, told->writer, NAME_SIZE);
		else if (strcmp(name, "address") == 0) has |= HAS_ADDRESS, well = read_string(&from, told->address, NAME_SIZE);
		else return false;
		/* What comes behind it in a newer format is not for this reader. */
		if (*format > FORMAT) return false;
	} while (well && is_next(&from, ','));
	return well && has == HAS_ALL && is_next(&from, '}') && from.at == from.end;
}

static bool take_head(batch *found, failure *why) {
	uint64_t length, format = 1;
	if (found->length >= 4 && (length = number_at(found->records, 4)) <= found->length - 4) {
		const char *at = (const char *)found->records + 4;
		if (read_head((text){at, at + length}, &found->head, &format)) {
			found->records += 4 + length;
			found->length -= 4 + length;
			return true;
		}
	}
	if (format > FORMAT)
		return fails(why, LOG_FAILURE, "segment %llu has format %llu, and this service knows none above %d",
			(unsigned long long)found->start.segment, (unsigned long long)format, FORMAT);
	return fails(why, LOG_FAILURE, "segment %llu has a beginning that cannot be read", (unsigned long long)found->start.segment);
}

static bool has_true_records(const batch *found, failure *why) {
	const unsigned char *at = found->records, *end = at + found->length;
	record each;
	while (record_next(&at, end, &each)) continue;
	return at == end
		|| fails(why, LOG_FAILURE, "segment %llu has records that cannot be read", (unsigned long long)found->start.segment);
}

size_t batch_length(const unsigned char *data) {
	size_t length = BATCH_SIZE + number_at(data + 4, 4);
	return (length + BLOCK - 1) & ~(size_t)(BLOCK - 1);
}

bool is_batch(const unsigned char *data, const position *start) {
	return (memcmp(data, UPDATES, 4) == 0 || memcmp(data, FIRST, 4) == 0) && number_at(data + 8, 8) == start->segment
		&& number_at(data + 16, 8) == start->offset && BATCH_SIZE + number_at(data + 4, 4) <= MAX_BODY;
}

bool confirms(const unsigned char *data, const position *start, uint64_t offset) {
	return memcmp(data, UPDATES, 4) == 0 && number_at(data + 8, 8) == start->segment && number_at(data + 16, 8) == offset
		&& number_at(data + 24, 8) > start->offset;
}

batch_found batch_at(const unsigned char *data, size_t length, const position *start, bool is_checked, batch *found, failure *why) {
	unsigned char chain[CHAIN_SIZE];
	if (length < BATCH_SIZE || !is_batch(data, start) || length - BATCH_SIZE < number_at(data + 4, 4)) return NO_BATCH;
	*found = (batch){
		.is_first = memcmp(data, FIRST, 4) == 0, .confirmed = number_at(data + 24, 8), .time = number_at(data + 32, 8),
		.records = data + BATCH_SIZE, .length = number_at(data + 4, 4), .start = *start,
	};
	found->end = (position){start->segment, start->offset + batch_length(data), {0}};
	memcpy(found->end.chain, data + BATCH_SIZE - CHAIN_SIZE, CHAIN_SIZE);
	if (!is_checked) {
		chain_of(start, data, found->length, chain);
		if (memcmp(chain, found->end.chain, CHAIN_SIZE) != 0) return NO_BATCH;
	}
	if (found->is_first && !take_head(found, why)) return BAD_BATCH;
	return is_checked || has_true_records(found, why) ? A_BATCH : BAD_BATCH;
}
