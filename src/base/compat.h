/*
 * compat.h
 *	  Differences between PostgreSQL 15 and later, in one place.
 */
#ifndef APPUSER_CONNECTORS_BASE_COMPAT_H
#define APPUSER_CONNECTORS_BASE_COMPAT_H

#if PG_VERSION_NUM < 150000
#error "appuser_connectors needs PostgreSQL 15 or later"
#endif

#include "common/jsonapi.h"

/*
 * JSON semantic actions return void before 16, and the lexer's context is
 * always allocated before 17.
 */
#if PG_VERSION_NUM < 160000
typedef void json_action;
#define JSON_ACTION_RETURN return
#else
typedef JsonParseErrorType json_action;
#define JSON_ACTION_RETURN return JSON_SUCCESS
#endif

/* A lexer of UTF-8; with unescape it makes copies of the strings it reads. */
#if PG_VERSION_NUM < 170000
#define make_json_lexer_ext(json, len, unescape)                                                   \
	makeJsonLexContextCstringLen(unconstify(char *, json), (int) (len), PG_UTF8, unescape)
#else
#define make_json_lexer_ext(json, len, unescape)                                                   \
	makeJsonLexContextCstringLen(NULL, json, len, PG_UTF8, unescape)
#endif

#define make_json_lexer(json, len) make_json_lexer_ext(json, len, true)

/*
 * Before 17 freeing is left to the memory context, which there is none of outside
 * the server.
 */
#if PG_VERSION_NUM < 170000
#define free_json_lexer(lex)                                                                       \
	do                                                                                             \
	{                                                                                              \
		if ((lex)->strval != NULL)                                                                 \
		{                                                                                          \
			pfree((lex)->strval->data);                                                            \
			pfree((lex)->strval);                                                                  \
		}                                                                                          \
		pfree(lex);                                                                                \
	} while (0)
#else
#define free_json_lexer(lex) freeJsonLexContext(lex)
#endif

#ifndef FRONTEND

/* 18 adds an argument for instrumentation. */
#if PG_VERSION_NUM < 180000
#define begin_index_scan(table, index, snapshot, nkeys)                                            \
	index_beginscan(table, index, snapshot, nkeys, 0)
#else
#define begin_index_scan(table, index, snapshot, nkeys)                                            \
	index_beginscan(table, index, snapshot, NULL, nkeys, 0)
#endif

/* 17 hangs wait event sets on resource owners and names an extension's wait events. */
#if PG_VERSION_NUM < 170000
#define create_wait_event_set(nevents) CreateWaitEventSet(TopMemoryContext, nevents)
#define new_wait_event(name) PG_WAIT_EXTENSION
#else
#define create_wait_event_set(nevents) CreateWaitEventSet(NULL, nevents)
#define new_wait_event(name) WaitEventExtensionNew(name)
#endif

/* 17 numbers processes from 0 and calls that MyProcNumber. */
#if PG_VERSION_NUM < 170000
#define my_process_number() (MyProc->pgprocno)
#else
#define my_process_number() MyProcNumber
#endif

/* 15.4 marks so a database whose DROP was cut short, and lets nobody connect to it. */
#ifndef DATCONNLIMIT_INVALID_DB
#define DATCONNLIMIT_INVALID_DB -2
#endif

/* 16 has one ownership check for all kinds of objects. */
#if PG_VERSION_NUM < 160000
#define owns_database(oid) pg_database_ownercheck(oid, GetUserId())
#define owns_extension(oid) pg_extension_ownercheck(oid, GetUserId())
#define owns_namespace(oid) pg_namespace_ownercheck(oid, GetUserId())
#else
#define owns_database(oid) object_ownercheck(DatabaseRelationId, oid, GetUserId())
#define owns_extension(oid) object_ownercheck(ExtensionRelationId, oid, GetUserId())
#define owns_namespace(oid) object_ownercheck(NamespaceRelationId, oid, GetUserId())
#endif

#endif /* FRONTEND */

#endif
