/* PHP's session module of this cluster. It takes the place of PHP's own module `files` under its name, so whatever reaches
 * that one reaches the store: session_start() and session.auto_start, \SessionHandler and what extends it,
 * ini_set('session.save_handler', 'files'), upload progress. A site's save path, error handler and locale have no say in it.
 *
 * What cannot be read or stored is refused: the log says why, and front.c turns the answer into a 503. */

#include "cluster.h"
#include "SAPI.h"
#include "ext/session/php_session.h"
#include "zend_exceptions.h"
#include <limits.h>
#include <sys/mman.h>
#include <unistd.h>

/* A page may give its visitor another id more than once. */
#define MAX_REPLACED 16

static struct {
	bool is_open;      /* PHP has read a session and not closed it */
	bool is_settled;   /* since then it was stored, or destroyed */
	bool is_handled;   /* it was a handler of the site's that has opened it */
	bool is_refused;   /* something in this request was; nothing makes up for it */
	bool cannot_encode;/* PHP has tried to encode $_SESSION last, and failed */
	bool cannot_decode;/* PHP has tried to decode a session last, and failed */
	bool was_unclear;  /* its id could not be looked at: `problem` is told when it is read */
	record *current;
	record *other;     /* one that is looked at or destroyed beside it: here, since PHP's memory may end meanwhile */
	zend_string *data; /* of `current`, read when its id was looked at */
	record *replaced[MAX_REPLACED]; /* sessions that end when what has taken their place is stored */
	int replaced_count;
	bool has_replaced; /* some have ended in this request, whose ids are nobody's for it */
} request;

/* Ends the page as exit() does, where there is one and nothing else ends it. */
static void end_page(void) {
	zend_execute_data *frame = EG(current_execute_data);
	if (frame != NULL && frame->func != NULL && !ZEND_USER_CODE(frame->func->type) && EG(exception) == NULL)
		EG(exception) = zend_create_unwind_exit();
}

/* Says in the log what `problem` is. Whoever reads it must not be able to take the session over, so it gets no id. */
static void log_refusal(const char *id) {
	char line[512], host[64] = "", name[13];
	zend_ini_entry *log = zend_hash_str_find_ptr(EG(ini_directives), ZEND_STRL("error_log"));
	gethostname(host, sizeof host - 1);
	id_name(id, name);
	snprintf(line, sizeof line, "session %s refused on %s: %s", name, host, problem);
	zend_try {
		/* A log of the site's own is not where the cluster's operator looks. */
		if (log != NULL && log->modified) php_syslog(LOG_NOTICE, "%s", line);
		else php_log_err(line);
	} zend_end_try();
}

void store_refuse(const char *id) {
	request.is_refused = true;
	log_refusal(id);
	end_page();
}

static zend_result refused(const char *id) {
	store_refuse(id);
	return FAILURE;
}

bool store_is_guilty(void) { return request.is_refused || (request.is_open && !request.is_settled); }
bool store_was_refused(void) { return request.is_refused; }

/* What PHP takes for an id, and a file can be named after. */
static bool is_well_formed(const zend_string *id) {
	return strlen(ZSTR_VAL(id)) == ZSTR_LEN(id) && php_session_valid_key(ZSTR_VAL(id)) == SUCCESS
		&& ZSTR_LEN(id) <= NAME_MAX - strlen("sess_");
}

static bool is_current(const zend_string *id) {
	return request.current != NULL && strcmp(record_id(request.current), ZSTR_VAL(id)) == 0;
}

static void forget_data(void) {
	if (request.data != NULL) zend_string_release(request.data);
	request.data = NULL;
}

static void let_go_of_other(void) {
	record_release(request.other);
	request.other = NULL;
}

static void let_go(void) {
	forget_data();
	record_release(request.current);
	request.current = NULL;
}

/* Whether the visitor has brought this id, in a cookie or, where the site allows that, in a URL or a form. */
static bool is_brought(const zend_string *id) {
	static const int ways[] = {TRACK_VARS_COOKIE, TRACK_VARS_GET, TRACK_VARS_POST};
	for (size_t way = 0; way < sizeof ways / sizeof *ways; way++) {
		zval *values = &PG(http_globals)[ways[way]], *value = NULL;
		if (Z_TYPE_P(values) == IS_ARRAY)
			value = zend_hash_str_find_deref(Z_ARRVAL_P(values), PS(session_name), strlen(PS(session_name)));
		if (value != NULL && Z_TYPE_P(value) == IS_STRING && zend_string_equals(Z_STR_P(value), id)) return true;
	}
	/* It would be told, had PHP not taken it from a cookie that the program has put there. */
	return PS(use_cookies) && !PS(send_cookie);
}

/* Whether the site itself has set this, rather than an ini file of the machine. */
static bool is_asked_for(const char *setting) {
	const zend_ini_entry *entry = zend_hash_str_find_ptr(EG(ini_directives), setting, strlen(setting));
	return entry != NULL && entry->modified;
}

/* Which of PHP's session functions is at work: the innermost, below whatever handler of the site's it may call; NULL when
 * PHP itself begins or ends the request. */
static const char *session_function(void) {
	for (zend_execute_data *frame = EG(current_execute_data); frame != NULL; frame = frame->prev_execute_data) {
		const zend_function *function = frame->func;
		if (function == NULL || function->type != ZEND_INTERNAL_FUNCTION || function->common.scope != NULL) continue;
		if (function->common.function_name != NULL
				&& strncmp(ZSTR_VAL(function->common.function_name), "session_", strlen("session_")) == 0)
			return ZSTR_VAL(function->common.function_name);
	}
	return NULL;
}

static bool is_done_by(const char *name) {
	const char *function = session_function();
	return function != NULL && strcmp(function, name) == 0;
}

/* Ends the sessions whose place another one has taken, now that this one is stored. */
static bool end_replaced(void) {
	bool done = true;
	for (int i = 0; i < request.replaced_count; i++) {
		done = record_replace(request.replaced[i]) && done;
		record_release(request.replaced[i]);
		request.has_replaced = true;
	}
	request.replaced_count = 0;
	return done;
}

static zend_result settled(const char *id) {
	if (!end_replaced()) return refused(id);
	request.is_settled = true;
	return SUCCESS;
}

/* Where this session is among those that are to end; NULL if it is not. */
static record **place_among_replaced(const zend_string *id) {
	for (int i = 0; i < request.replaced_count; i++)
		if (strcmp(record_id(request.replaced[i]), ZSTR_VAL(id)) == 0) return &request.replaced[i];
	return NULL;
}

/* A handler may give the id that it has just given up to the session that takes its place. What was there is gone. */
static bool take_back(const zend_string *id) {
	record **place = place_among_replaced(id);
	if (place == NULL) return false;
	request.current = *place;
	*place = request.replaced[--request.replaced_count];
	request.data = ZSTR_EMPTY_ALLOC();
	return true;
}

/* Locks the session and reads it, unless this request has it already. */
static bool take(const zend_string *id, bool expected) {
	if (is_current(id)) return true;
	let_go();
	if (take_back(id)) return true;
	request.current = record_lock(ZSTR_VAL(id), true, expected);
	return request.current != NULL && record_read(request.current, &request.data);
}

static PS_OPEN_FUNC(cluster) {
	request.is_settled = false;
	request.is_handled = strcmp(PS(mod)->s_name, "files") != 0;
	request.cannot_encode = request.cannot_decode = false;
	PS_SET_MOD_DATA(&request);
	return SUCCESS;
}

/* PHP closes a session that it has tried to store, or that the page gives up. Where a fatal error, a limit of memory or time
 * has broken the attempt off, it closes what is left in the end, when $_SESSION is gone already, and the request stays guilty. */
static PS_CLOSE_FUNC(cluster) {
	bool was_broken_off = Z_ISUNDEF(PS(http_session_vars)) && !request.is_settled && session_function() == NULL;
	bool is_given_up = !was_broken_off && !request.is_settled && !request.is_refused && !is_done_by("session_regenerate_id");
	/* A page that gives up the session which should have taken another one's place gives up that one, too. */
	if (is_given_up && !end_replaced()) store_refuse("");
	if (!was_broken_off) request.is_open = false;
	request.was_unclear = false;
	let_go();
	PS_SET_MOD_DATA(NULL);
	return SUCCESS;
}

static PS_CREATE_SID_FUNC(cluster) { return id_draw(); }

static bool is_known(const record *found) {
	if (record_holds(found) != REPLACED) return record_holds(found) == STORED;
	return !request.has_replaced && time(NULL) - record_changed(found) < REPLACED_SECONDS;
}

/* Whether it is a session's id, asked in strict mode. */
static PS_VALIDATE_SID_FUNC(cluster) {
	zend_string *data = NULL;
	bool is_drawn, is_read, is_wanted;
	if (!is_well_formed(key)) return FAILURE;
	if (is_current(key)) return SUCCESS;
	/* These ask whether an id that they have just drawn is anybody's. */
	is_drawn = is_done_by("session_create_id") || is_done_by("session_regenerate_id");
	/* Our strict mode is for visitors: a program chooses its ids as it likes, unless it asks for PHP's, and one that was drawn in
	 * this request is known. */
	if (!is_drawn && !is_brought(key) && !is_asked_for("session.use_strict_mode")) return SUCCESS;
	if ((request.other = record_lock(ZSTR_VAL(key), false, !is_drawn && id_is_ours(ZSTR_VAL(key)))) == NULL) {
		/* Said when it is read: refused here already, PHP would still send the visitor a new id. */
		request.was_unclear = *problem != '\0';
		return request.was_unclear ? SUCCESS : FAILURE;
	}
	is_read = record_read(request.other, &data);
	request.was_unclear = !is_read;
	is_wanted = !is_read || is_known(request.other);
	if (is_read && is_wanted && request.current == NULL) {
		request.current = request.other; /* what is read next */
		request.data = data;
		request.other = NULL;
	} else if (is_read) {
		zend_string_release(data);
	}
	let_go_of_other();
	return is_wanted ? SUCCESS : FAILURE;
}

static PS_READ_FUNC(cluster) {
	*val = NULL;
	request.is_open = true;
	if (request.was_unclear) return refused(ZSTR_VAL(key));
	if (!is_well_formed(key)) {
		php_error_docref(NULL, E_WARNING, "Session ID is too long or contains illegal characters. "
			"Only the A-Z, a-z, 0-9, \"-\", and \",\" characters are allowed");
		return FAILURE;
	}
	if (!take(key, true)) return refused(ZSTR_VAL(key));
	/* session_reset() asks again for what it has. */
	if (request.data == NULL && !record_read(request.current, &request.data)) return refused(ZSTR_VAL(key));
	*val = request.data;
	request.data = NULL;
	return SUCCESS;
}

/* $_SESSION; NULL if the page has made something else of it, which PHP does not store. */
static HashTable *session_variables(void) {
	zval *variables = &PS(http_session_vars);
	return Z_ISREF_P(variables) && Z_TYPE_P(Z_REFVAL_P(variables)) == IS_ARRAY ? Z_ARRVAL_P(Z_REFVAL_P(variables)) : NULL;
}

/* Whether there is anything to encode: PHP passes over variables that have numbers for names. */
static bool has_session_variables(void) {
	HashTable *variables = session_variables();
	zend_string *name;
	if (variables == NULL) return false;
	ZEND_HASH_FOREACH_STR_KEY(variables, name) {
		if (name != NULL) return true;
	} ZEND_HASH_FOREACH_END();
	return false;
}

static PS_WRITE_FUNC(cluster) {
	/* PHP stores an empty text in place of what it cannot encode, or what it had until an exception was thrown. */
	if (EG(exception) != NULL || request.cannot_encode
			|| (ZSTR_LEN(val) == 0 && has_session_variables() && !PS(mod_user_implemented))) {
		fails("PHP cannot encode it");
		return refused(ZSTR_VAL(key));
	}
	if (!is_well_formed(key)) return FAILURE;
	if (!take(key, true)) return refused(ZSTR_VAL(key));
	forget_data();
	if (!record_write(request.current, ZSTR_VAL(val), ZSTR_LEN(val), maxlifetime)) return refused(ZSTR_VAL(key));
	return settled(ZSTR_VAL(key));
}

/* A session that a page has left as it was is stored again when a tenth of its life is over. */
static PS_UPDATE_TIMESTAMP_FUNC(cluster) {
	if (!is_well_formed(key)) return FAILURE;
	if (!take(key, true)) return refused(ZSTR_VAL(key));
	if (record_holds(request.current) == STORED && record_is_young(request.current, maxlifetime))
		return settled(ZSTR_VAL(key));
	return ps_write_cluster(mod_data, key, val, maxlifetime);
}

/* PHP itself destroys a session that it cannot decode, and would go on with an empty one. A page may ask for it. */
static bool is_undecodable(void) {
	const char *function = session_function();
	if (function != NULL && strcmp(function, "session_decode") == 0) return false;
	if (request.cannot_decode) return true;
	/* A serializer that is not watched. */
	return EG(current_execute_data) == NULL || (function != NULL && !PS(mod_user_implemented)
		&& (strcmp(function, "session_start") == 0 || strcmp(function, "session_reset") == 0));
}

/* Destroys another session than the one that is open, which stays as it is. */
static zend_result destroy_other(const zend_string *id) {
	zend_string *data;
	bool done;
	if (place_among_replaced(id) != NULL) return SUCCESS;
	if ((request.other = record_lock(ZSTR_VAL(id), false, true)) == NULL)
		return *problem == '\0' ? SUCCESS : refused(ZSTR_VAL(id));
	if ((done = record_read(request.other, &data))) {
		zend_string_release(data);
		done = record_end(request.other);
	}
	let_go_of_other();
	return done ? SUCCESS : refused(ZSTR_VAL(id));
}

static PS_DESTROY_FUNC(cluster) {
	if (!is_well_formed(key)) return FAILURE;
	if (is_undecodable()) {
		fails("PHP cannot decode it");
		return refused(ZSTR_VAL(key));
	}
	if (!is_current(key)) return destroy_other(key);
	forget_data();
	if (is_done_by("session_regenerate_id") && request.replaced_count < MAX_REPLACED) {
		/* It is what the visitor has until the new one is stored. */
		request.replaced[request.replaced_count++] = request.current;
		request.current = NULL;
		return SUCCESS;
	}
	if (!record_end(request.current)) return refused(ZSTR_VAL(key));
	let_go();
	return settled(ZSTR_VAL(key));
}

/* collect_sessions.php on php1 does it for all nodes. */
static PS_GC_FUNC(cluster) {
	*nrdels = 0;
	return 0;
}

bool store_now(void) {
	zend_string *data;
	if (PS(session_status) != php_session_active || PS(serializer) == NULL) return !store_is_guilty();
	/* PHP leaves the session as it was. */
	if (session_variables() == NULL) return settled(ZSTR_VAL(PS(id))) == SUCCESS;
	if ((data = PS(serializer)->encode()) == NULL) data = ZSTR_EMPTY_ALLOC();
	PS(mod)->s_write(&PS(mod_data), PS(id), data, PS(gc_maxlifetime));
	/* What PHP compares with in the end, to know whether there is anything to store. */
	if (PS(session_vars) != NULL) zend_string_release(PS(session_vars));
	PS(session_vars) = PS(lazy_write) ? zend_string_copy(data) : NULL;
	zend_string_release(data);
	return !store_is_guilty();
}

/* The serializers, to know when they fail: a handler of the site's may make some text of the empty one, and may destroy sessions
 * for reasons of its own. */
static const char *const SERIALIZERS[] = {"php", "php_serialize", "php_binary"};
static ps_serializer theirs[3];

static zend_string *encode(int which) {
	zend_string *data = theirs[which].encode();
	/* An object that throws when it is stored leaves what came before it: half a session, which PHP would store. */
	request.cannot_encode = has_session_variables() && (data == NULL || EG(exception) != NULL);
	return data;
}

static zend_result decode(int which, const char *text, size_t length) {
	zend_result result;
	request.cannot_decode = true; /* unless it comes back */
	result = theirs[which].decode(text, length);
	request.cannot_decode = result == FAILURE;
	return result;
}

#define WATCHED(which) \
	static zend_string *encode_##which(void) { return encode(which); } \
	static zend_result decode_##which(const char *text, size_t length) { return decode(which, text, length); }
WATCHED(0)
WATCHED(1)
WATCHED(2)
static const ps_serializer OURS[] = {{NULL, encode_0, decode_0}, {NULL, encode_1, decode_1}, {NULL, encode_2, decode_2}};

static void watch_serializers(void) {
	for (int i = 0; i < 3; i++) {
		ps_serializer *serializer = (ps_serializer *)_php_find_ps_serializer(SERIALIZERS[i]);
		if (serializer == NULL) continue;
		theirs[i] = *serializer;
		serializer->encode = OURS[i].encode;
		serializer->decode = OURS[i].decode;
	}
}

/* Puts this module in the place of `files`. PHP finds it by name at the start of each request, before any extension is asked,
 * so it is the module itself that changes. */
bool store_install(void) {
	static const ps_module ours = {
		"files", ps_open_cluster, ps_close_cluster, ps_read_cluster, ps_write_cluster, ps_delete_cluster, ps_gc_cluster,
		ps_create_sid_cluster, ps_validate_sid_cluster, ps_update_timestamp_cluster,
	};
	const ps_module *files = _php_find_ps_module("files");
	size_t page = sysconf(_SC_PAGESIZE);
	char *begin = (char *)((uintptr_t)files / page * page), *end = (char *)(files + 1);
	if (files == NULL) return false;
	/* It lies among what the linker has made read-only. */
	if (mprotect(begin, end - begin, PROT_READ | PROT_WRITE) != 0) return false;
	*(ps_module *)files = ours;
	if (mprotect(begin, end - begin, PROT_READ) != 0) return false;
	watch_serializers();
	return record_prepare_waiting();
}

void store_begin(void) { memset(&request, 0, sizeof request); }

/* A handler of the site's may find that there is nothing to store, and not close what it has opened. That is its own affair,
 * unless an error has broken it off. */
void store_settle(void) {
	if (request.is_handled && !CG(unclean_shutdown)) request.is_open = false;
}

void store_end(void) {
	request.data = NULL; /* PHP's memory goes as a whole */
	let_go();
	let_go_of_other();
	for (int i = 0; i < request.replaced_count; i++) record_release(request.replaced[i]);
	store_begin();
}
