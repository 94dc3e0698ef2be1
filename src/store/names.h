/*
 * names.h
 *	  Names of what the install script makes.
 */
#ifndef APPUSER_CONNECTORS_STORE_NAMES_H
#define APPUSER_CONNECTORS_STORE_NAMES_H

#define STORE_SCHEMA "appuser_connectors"
#define STORE_OWNER "appuser_connectors_owner"

#endif
