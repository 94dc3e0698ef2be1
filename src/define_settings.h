/*
 * define_settings.h
 *	  The settings appuser_connectors.*.
 */
#ifndef APPUSER_CONNECTORS_DEFINE_SETTINGS_H
#define APPUSER_CONNECTORS_DEFINE_SETTINGS_H

/* Once, from _PG_init */
extern void define_settings(void);

#endif
