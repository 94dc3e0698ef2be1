/*
 * reminder.h
 *	  Connections whose person is to be told that their grant ends.
 */
#ifndef APPUSER_CONNECTORS_STORE_REMINDER_H
#define APPUSER_CONNECTORS_STORE_REMINDER_H

#include "store/connection.h"

/*
 * Up to limit of those that are due, of all connectors, without those that verdict does not
 * take; *more: there are others.  As store_due_connections.
 */
extern ConnectionKey *store_due_reminders(TimestampTz now, int limit, ConnectionVerdict verdict,
										  int *count, bool *more);

/*
 * Takes one that is still due, so that nobody is told twice; false: it is not, the person
 * must connect again in any case, or somebody holds the row, who is not waited for.
 */
extern bool store_take_reminder(const ConnectionKey *key, TimestampTz now,
								TimestampTz *reconnect_by);

#endif
