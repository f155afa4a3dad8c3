/* What PHP loads. */

#include "cluster.h"
#include "SAPI.h"
#include "php_ini.h"
#include "ext/session/php_session.h"
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>

cluster_settings cluster;
char problem[256];

bool fails(const char *format, ...) {
	va_list values;
	va_start(values, format);
	vsnprintf(problem, sizeof problem, format, values);
	va_end(values);
	return false;
}

bool fails_with_errno(const char *what) { return fails("%s: %s", what, strerror(errno)); }

static PHP_INI_MH(set_string) {
	*(char **)((char *)&cluster + (size_t)mh_arg1) = new_value ? ZSTR_VAL(new_value) : "";
	return SUCCESS;
}

static PHP_INI_MH(set_number) {
	*(zend_long *)((char *)&cluster + (size_t)mh_arg1) = ZEND_ATOL(ZSTR_VAL(new_value));
	return SUCCESS;
}

static PHP_INI_MH(set_switch) {
	*(bool *)((char *)&cluster + (size_t)mh_arg1) = zend_ini_parse_bool(new_value);
	return SUCCESS;
}

/* A setting, set by a function that is told where it lies. */
#define ENTRY(name, initial, set) \
	{"php_cluster." #name, set, (void *)offsetof(cluster_settings, name), NULL, NULL, initial, NULL, sizeof(initial) - 1, \
	 sizeof("php_cluster." #name) - 1, PHP_INI_SYSTEM},

static const zend_ini_entry_def ini_entries[] = {
	ENTRY(folder, "", set_string)
	ENTRY(service, "", set_string)
	ENTRY(lock_seconds, "30", set_number)
	ENTRY(waiting_places, "6", set_number)
	ENTRY(write_plain, "0", set_switch)
	ENTRY(moves_to, "", set_string)
	{0}
};

/* What programs ask while the profile or the store changes, of one session. A text says why it could not be done. */
ZEND_BEGIN_ARG_INFO_EX(id_arguments, 0, 0, 1)
	ZEND_ARG_TYPE_INFO(0, id, IS_STRING, 0)
ZEND_END_ARG_INFO()

/* The id, if this is not asked by a page, and for what is one of ours; else NULL. */
static const char *asked_for(INTERNAL_FUNCTION_PARAMETERS) {
	char *id;
	size_t length;
	ZEND_PARSE_PARAMETERS_START(1, 1)
		Z_PARAM_STRING(id, length)
	ZEND_PARSE_PARAMETERS_END_EX(return NULL);
	return strcmp(sapi_module.name, "cli") == 0 && php_session_valid_key(id) == SUCCESS ? id : NULL;
}

/* php_cluster_become_plain(string $id): whether the session was a record, and is one of PHP's own handler now
 * (plain_sessions.php). */
static PHP_FUNCTION(php_cluster_become_plain) {
	const char *id = asked_for(INTERNAL_FUNCTION_PARAM_PASSTHRU);
	record *held;
	int was_record;
	if (id == NULL) RETURN_FALSE;
	if ((held = record_lock(id, false, true)) == NULL) {
		if (*problem == '\0') fails("it cannot be found");
		RETURN_STRING(problem);
	}
	was_record = record_become_plain(held);
	record_release(held);
	if (was_record < 0) RETURN_STRING(problem);
	RETURN_BOOL(was_record);
}

/* php_cluster_move(string $id): whether the session is in the store to which php_cluster.moves_to brings all of them, and in no
 * other one (move_sessions.php). */
static PHP_FUNCTION(php_cluster_move) {
	const char *id = asked_for(INTERNAL_FUNCTION_PARAM_PASSTHRU);
	zend_string *data;
	record *held;
	bool done;
	if (id == NULL || *cluster.moves_to == '\0') RETURN_FALSE;
	if ((held = record_lock(id, false, true)) == NULL) {
		if (*problem != '\0') RETURN_STRING(problem);
		RETURN_TRUE; /* it has ended */
	}
	if ((done = record_read(held, &data))) zend_string_release(data);
	record_release(held);
	if (!done) RETURN_STRING(problem);
	RETURN_TRUE;
}

static const zend_function_entry functions[] = {
	PHP_FE(php_cluster_become_plain, id_arguments)
	PHP_FE(php_cluster_move, id_arguments)
	PHP_FE_END
};

static PHP_MINIT_FUNCTION(php_cluster) {
	zend_register_ini_entries(ini_entries, module_number);
	/* The collector reads the same ini file, and knows nothing of what a site changes at run time. */
	cluster.lifetime = PS(gc_maxlifetime);
	if (*cluster.folder == '\0') return SUCCESS;
	if (!store_install()) {
		zend_error(E_CORE_ERROR, "php_cluster: the session store cannot take its place");
		return FAILURE;
	}
	/* On a command line nobody waits for an answer. */
	if (strcmp(sapi_module.name, "cli") != 0) front_install();
	return SUCCESS;
}

static PHP_MSHUTDOWN_FUNCTION(php_cluster) {
	UNREGISTER_INI_ENTRIES();
	return SUCCESS;
}

static PHP_RINIT_FUNCTION(php_cluster) {
	front_begin();
	return SUCCESS;
}

/* The session module has stored by now what there was to store. */
static zend_result end_of_request(void) {
	store_settle();
	front_end();
	store_end();
	return SUCCESS;
}

static const zend_module_dep needed[] = {
	ZEND_MOD_REQUIRED("hash")
	ZEND_MOD_REQUIRED("session")
	ZEND_MOD_END
};

static zend_module_entry php_cluster_module_entry = {
	STANDARD_MODULE_HEADER_EX, NULL, needed, "php_cluster", functions,
	PHP_MINIT(php_cluster), PHP_MSHUTDOWN(php_cluster), PHP_RINIT(php_cluster), NULL, NULL,
	"1.0", 0, 0, NULL, NULL, end_of_request, STANDARD_MODULE_PROPERTIES_EX
};

ZEND_GET_MODULE(php_cluster)
