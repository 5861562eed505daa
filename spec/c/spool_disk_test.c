/* spool_disk_test.c
 * Whole clients on a disk that fails, is full, turns read-only, is taken away: nothing is lost.
 * Does not know what is written; spool_fault_test.c does the same to the engine alone.
 * SPDX-License-Identifier: MIT */
#include "client.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "clock.h"
#include "support/disk_run.h"
#include "support/fault_vfs.h"

#define SECOND INT64_C(1000000)

enum { LOT = 50, QUEUE_EVENTS = 1000 };

static const collector_manners away = {.refuse = 1000}, good = {0};

static qa_stats stats_of(qa_client *client) {
    qa_stats stats;
    qa_client_stats(client, &stats);
    assert_true(qa_ledger_balanced(&stats.counts));
    return stats;
}

static void await_status(qa_client *client, qa_status status) {
    int64_t limit = qa_clock_real.now_us(NULL) + 60 * SECOND;
    while (stats_of(client).spool_status != status) {
        if (qa_clock_real.now_us(NULL) > limit)
            fail_msg("the spool's state stays %d: %s", stats_of(client).spool_status,
                     stats_of(client).spool_message);
        poll(NULL, 0, 1);
    }
}

static qa_status try_lot(qa_client *client, uint64_t from, qa_error *error) {
    char text[LOT * (COLLECTOR_EVENT_MAX + 2)];
    size_t length = 0;
    for (uint64_t n = from; n < from + LOT; n++) {
        length += (size_t)snprintf(text + length, sizeof text - length, "%s",
                                   n > from ? ",\n" : "");
        length += collector_event(text + length, sizeof text - length, n);
    }
    return qa_client_report(client, text, length, LOT, error);
}

static void save(qa_client *client) {
    qa_error error;
    uint64_t mark = qa_client_flush_to_disk_begin(client);
    if (qa_client_flush_to_disk_wait(client, mark, 20 * SECOND, &error) != QA_OK)
        fail_msg("%s", error.message);
}

static uint64_t report_lots(qa_client *client, uint64_t from, unsigned lots) {
    qa_error error;
    for (unsigned i = 0; i < lots; i++, from += LOT) {
        if (spool_client_report(client, from, from + LOT - 1, &error) != QA_OK)
            fail_msg("%s", error.message);
    }
    return from;
}

static void drain_and_close(spool_clients *world, qa_client *client) {
    collector_behave(world->service, &good);
    spool_client_drain(world, client, 1);
    const qa_ledger_counts counts = stats_of(client).counts;
    assert_int_equal(counts.delivered, counts.accepted);
    assert_int_equal(qa_client_close(client, 10 * SECOND, NULL, NULL), QA_OK);
    qa_client_free(client);
}

/* ---- at random ------------------------------------------------------------------------------- */

static void a_disk_and_a_service_that_fail_at_random_lose_nothing(void **state) {
    spool_clients *world = *state;
    disk_run(world, 3, world->seed);
}

/* ---- full ------------------------------------------------------------------------------------ */

/* The next number after what was accepted. */
static uint64_t report_until_full(qa_client *client, uint64_t from) {
    qa_error error;
    for (;;) {
        qa_status status = try_lot(client, from, &error);
        if (status == QA_SPOOL_FULL) {
            assert_non_null(strstr(error.message, "disk full"));
            return from;
        }
        if (status != QA_OK)
            fail_msg("%s", error.message);
        uint64_t mark = qa_client_flush_to_disk_begin(client);
        (void)qa_client_flush_to_disk_wait(client, mark, SECOND / 10, NULL);
        from += LOT;
        if (from > DISK_RUN_EVENTS)
            fail_msg("a disk of 1 MiB took %" PRIu64 " events", from);
    }
}

static bool mount_disk(const spool_clients *world, const char *options) {
    if (mkdir(world->disk.spool, 0700) == 0 &&
        mount("tmpfs", world->disk.spool, "tmpfs", 0, options) == 0)
        return true;
    print_message("a small tmpfs can't be mounted here\n");
    return false;
}

static void a_full_disk_refuses_what_is_new_and_recovers_with_room(void **state) {
    spool_clients *world = *state;
    qa_error error;
    if (!mount_disk(world, "size=1m,mode=0700"))
        skip();
    collector_behave(world->service, &away);
    qa_client *client = spool_client_open(world);
    uint64_t next = report_until_full(client, 1);
    assert_int_equal(stats_of(client).spool_status, QA_SPOOL_FULL);
    assert_int_equal(try_lot(client, next, &error), QA_SPOOL_FULL);
    assert_int_equal(stats_of(client).counts.accepted, next - 1);
    assert_int_equal(
        mount("tmpfs", world->disk.spool, "tmpfs", MS_REMOUNT, "size=16m,mode=0700"), 0);
    await_status(client, QA_OK);
    next = report_lots(client, next, 4);
    save(client);
    assert_int_equal(qa_client_close(client, 0, NULL, NULL), QA_TIMEOUT);
    assert_int_equal(stats_of(client).counts.dropped[QA_DROP_CLOSED], 0);
    qa_client_free(client);
    spool_clients_finish(world);
    spool_clients_expect(world, next - 1, 0);
}

static void await_arrival(spool_clients *world, qa_client *client, uint64_t last) {
    int64_t limit = qa_clock_real.now_us(NULL) + 60 * SECOND;
    while (collector_look(world->service, last).missing > 0) {
        if (qa_clock_real.now_us(NULL) > limit)
            fail_msg("not all of %" PRIu64 " events arrive; %" PRIu64 " are on disk alone", last,
                     stats_of(client).spool_paged);
        poll(NULL, 0, 1);
    }
}

/* What is delivered can't be deleted without room either; it must not be sent again for that. */
static void a_full_disk_does_not_keep_anything_from_delivery(void **state) {
    spool_clients *world = *state;
    if (!mount_disk(world, "size=1m,mode=0700"))
        skip();
    collector_behave(world->service, &away);
    qa_client *client = spool_client_open(world);
    uint64_t next = report_until_full(client, 1);
    collector_behave(world->service, &good);
    await_arrival(world, client, next - 1);
    await_status(client, QA_OK); /* it was the spool itself that filled the disk */
    assert_int_equal(
        mount("tmpfs", world->disk.spool, "tmpfs", MS_REMOUNT, "size=16m,mode=0700"), 0);
    await_status(client, QA_OK);
    next = report_lots(client, next, 4);
    drain_and_close(world, client);
    spool_clients_expect(world, next - 1, 0);
}

/* ---- read-only ------------------------------------------------------------------------------- */

static void a_disk_that_turns_read_only_is_told_and_what_was_accepted_delivered(void **state) {
    spool_clients *world = *state;
    qa_error error;
    collector_behave(world->service, &away);
    qa_client *client = spool_client_open(world);
    uint64_t next = report_lots(client, 1, 10);
    save(client);
    fault_vfs_set(FAULT_READ_ONLY, 1);
    next = report_lots(client, next, 1);
    await_status(client, QA_SPOOL);
    assert_non_null(strstr(stats_of(client).spool_message, "spool: cannot write '"));
    assert_int_equal(try_lot(client, next, &error), QA_SPOOL);
    collector_behave(world->service, &good);
    await_arrival(world, client, next - 1);
    fault_vfs_set(FAULT_NONE, 0);
    await_status(client, QA_OK);
    next = report_lots(client, next, 2);
    drain_and_close(world, client);
    spool_clients_expect(world, next - 1, 0);
}

static void a_read_only_directory_refuses_and_recovers(void **state) {
    spool_clients *world = *state;
    qa_error error;
    if (!mount_disk(world, "size=4m,mode=0700"))
        skip();
    assert_int_equal(
        mount("tmpfs", world->disk.spool, "tmpfs", MS_REMOUNT | MS_RDONLY, "size=4m"), 0);
    qa_client *client = spool_client_open(world);
    await_status(client, QA_SPOOL);
    assert_int_equal(try_lot(client, 1, &error), QA_SPOOL);
    assert_non_null(strstr(error.message, "read-only file system"));
    assert_int_equal(mount("tmpfs", world->disk.spool, "tmpfs", MS_REMOUNT, "size=4m"), 0);
    await_status(client, QA_OK);
    uint64_t next = report_lots(client, 1, 4);
    drain_and_close(world, client);
    spool_clients_expect(world, next - 1, 0);
}

/* ---- deleted --------------------------------------------------------------------------------- */

/* Most is on disk alone when it goes; SQLite still has the file open. */
static void a_directory_that_is_deleted_under_us_loses_nothing(void **state) {
    spool_clients *world = *state;
    collector_behave(world->service, &away);
    qa_client *client = spool_client_open(world);
    uint64_t next = report_lots(client, 1, 40);
    save(client);
    assert_true(stats_of(client).spool_paged > 0);
    world_empty(&world->disk);
    assert_int_equal(world_files(&world->disk, "", NULL, 0), 0);
    next = report_lots(client, next, 4);
    save(client);
    assert_int_equal(world_files(&world->disk, ".db", NULL, 0), 1);
    assert_int_equal(qa_client_close(client, 0, NULL, NULL), QA_TIMEOUT);
    assert_int_equal(stats_of(client).counts.dropped[QA_DROP_CLOSED], 0);
    qa_client_free(client);
    spool_clients_finish(world);
    spool_clients_expect(world, next - 1, 0);
}

static void a_directory_that_is_deleted_while_all_is_well_is_made_again(void **state) {
    spool_clients *world = *state;
    qa_client *client = spool_client_open(world);
    uint64_t next = report_lots(client, 1, 4);
    spool_client_drain(world, client, 1);
    world_empty(&world->disk);
    collector_behave(world->service, &away);
    next = report_lots(client, next, 4);
    save(client);
    drain_and_close(world, client);
    spool_clients_expect(world, next - 1, 0);
}

/* ---- all ------------------------------------------------------------------------------------- */

static spool_clients all;

static int begin(void **state) {
    fault_vfs_install();
    spool_clients_begin(&all, DISK_RUN_EVENTS);
    all.config.queue_events = QUEUE_EVENTS;
    *state = &all;
    return 0;
}

static int end(void **state) {
    spool_clients_end(*state);
    return 0;
}

static int again(void **state) {
    spool_clients *world = *state;
    fault_vfs_set(FAULT_NONE, 0);
    fault_vfs_shake(0, 0);
    world->config.queue_events = QUEUE_EVENTS;
    if (umount2(world->disk.spool, MNT_DETACH) != 0 && errno != EINVAL && errno != ENOENT &&
        errno != EPERM)
        return -1;
    spool_clients_again(world);
    return 0;
}

int main(void) {
#define CASE(name) cmocka_unit_test_teardown(name, again)
    const struct CMUnitTest tests[] = {
        CASE(a_disk_and_a_service_that_fail_at_random_lose_nothing),
        CASE(a_full_disk_refuses_what_is_new_and_recovers_with_room),
        CASE(a_full_disk_does_not_keep_anything_from_delivery),
        CASE(a_disk_that_turns_read_only_is_told_and_what_was_accepted_delivered),
        CASE(a_read_only_directory_refuses_and_recovers),
        CASE(a_directory_that_is_deleted_under_us_loses_nothing),
        CASE(a_directory_that_is_deleted_while_all_is_well_is_made_again),
    };
    return cmocka_run_group_tests_name("spool, on a failing disk", tests, begin, end);
}
