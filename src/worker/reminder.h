/*
 * reminder.h
 *	  Telling people, by an event, that their grant is about to end.
 */
#ifndef APPUSER_CONNECTORS_WORKER_REMINDER_H
#define APPUSER_CONNECTORS_WORKER_REMINDER_H

/* A batch of what is due, in the worker's transaction; true: there is more. */
extern bool reminders_send(void);

#endif
