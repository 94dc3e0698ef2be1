/*
 * errors.h
 *	  SQLSTATEs of this extension.  Classes A to H belong to the SQL standard,
 *	  so these are in class UC.
 */
#ifndef APPUSER_CONNECTORS_BASE_ERRORS_H
#define APPUSER_CONNECTORS_BASE_ERRORS_H

#include "utils/elog.h"

#define ERRCODE_UC_CONNECTION_NOT_FOUND MAKE_SQLSTATE('U', 'C', '0', '0', '1')
#define ERRCODE_UC_RECONNECT_REQUIRED MAKE_SQLSTATE('U', 'C', '0', '0', '2')
#define ERRCODE_UC_PROVIDER_UNAVAILABLE MAKE_SQLSTATE('U', 'C', '0', '0', '3')
#define ERRCODE_UC_CONNECTOR_MISCONFIGURED MAKE_SQLSTATE('U', 'C', '0', '0', '4')
#define ERRCODE_UC_AUTHORIZATION_FAILED MAKE_SQLSTATE('U', 'C', '0', '0', '5')
#define ERRCODE_UC_CONNECTOR_NOT_FOUND MAKE_SQLSTATE('U', 'C', '0', '0', '6')
#define ERRCODE_UC_WORKER_NOT_RUNNING MAKE_SQLSTATE('U', 'C', '0', '0', '7')
#define ERRCODE_UC_KEY_UNAVAILABLE MAKE_SQLSTATE('U', 'C', '0', '0', '8')
#define ERRCODE_UC_COPY_HELD MAKE_SQLSTATE('U', 'C', '0', '0', '9')

#endif
