//! The model, row by row: every row of the TCC table, batches, request ids, limits, and the order of precedence.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use support::script::check;

#[test]
fn row_01_try_again_gives_the_first_result_with_the_present_state() {
    check(
        "r1: try t1 alice>bob 10.00        => ok tried #6
         r1: try t1 alice>bob 10.00        => ok replayed tried #6
         r2: try t1 alice>bob 10.0         => ok replayed tried #6
         r3: confirm t1                    => ok confirmed #7
         r1: try t1 alice>bob 10.00        => ok replayed confirmed #6
         balance alice                     => debits 1000+0 credits 10000+0 available 9000",
    );
}

#[test]
fn row_02_try_with_other_content_is_refused() {
    check(
        "r1: try t1 alice>bob 10.00        => ok tried #6
         r1: try t1 alice>bob 11.00        => REQUEST_ID_REUSED tried
         r2: try t1 alice>bob 11.00        => TRANSACTION_EXISTS_DIFFERENT tried
         r3: try t1 alice>bob 10.00 timeout=5 => TRANSACTION_EXISTS_DIFFERENT tried
         r4: post t1 alice>bob 10.00       => TRANSACTION_EXISTS_DIFFERENT tried
         balance alice                     => debits 0+1000 credits 10000+0 available 9000",
    );
}

#[test]
fn row_03_a_refused_try_stays_refused_under_its_id() {
    check(
        "r1: try t1 alice>bob 150.00       => INSUFFICIENT_FUNDS
         r2: post t2 bank>alice 100.00     => ok confirmed #6
         r1: try t1 alice>bob 150.00       => INSUFFICIENT_FUNDS replayed
         r3: try t1 alice>bob 150.00       => ok tried #7",
    );
}

#[test]
fn rows_04_and_20_confirm_never_fails_on_floor_or_freeze() {
    check(
        "r1: try t1 alice>bob 100.00       => ok tried #6
         r2: freeze alice                  => ok #7
         r3: freeze bob                    => ok #8
         r4: confirm t1                    => ok confirmed #9
         balance alice                     => debits 10000+0 credits 10000+0 available 0",
    );
}

#[test]
fn row_05_confirm_again_is_replayed() {
    check(
        "r1: try t1 alice>bob 10.00        => ok tried #6
         r2: confirm t1                    => ok confirmed #7
         r2: confirm t1                    => ok replayed confirmed #7
         r3: confirm t1                    => ok replayed confirmed #7
         r4: confirm t1 amounts=10.00/10.00 => ok replayed confirmed #7
         balance bob                       => debits 0+0 credits 1000+0 available 1000",
    );
}

#[test]
fn row_06_confirm_again_with_other_amounts_differs() {
    check(
        "r1: try t1 alice>bob 10.00        => ok tried #6
         r2: confirm t1 amounts=4.00/4.00  => ok confirmed #7
         r3: confirm t1                    => CONFIRM_DIFFERS confirmed
         r4: confirm t1 amounts=5.00/5.00  => CONFIRM_DIFFERS confirmed
         r2: confirm t1                    => REQUEST_ID_REUSED confirmed",
    );
}

#[test]
fn row_07_confirm_in_part_frees_the_rest() {
    check(
        "r1: try t1 alice>bob 10.00, alice>bank 5.00  => ok tried #6
         r2: confirm t1 amounts=4.00/4.00/0/0         => ok confirmed #7
         balance alice                     => debits 400+0 credits 10000+0 available 9600
         balance bank                      => debits 10000+0 credits 0+0 available 10000",
    );
}

#[test]
fn row_08_confirm_more_than_reserved_is_refused() {
    check(
        "r1: try t1 alice>bob 10.00        => ok tried #6
         r2: confirm t1 amounts=10.01/10.01 => EXCEEDS_RESERVED tried
         r3: confirm t1 amounts=9.00/8.00  => UNBALANCED tried
         r4: confirm t1 amounts=9.00       => AMOUNT_COUNT tried
         r5: confirm t1 amounts=9.001/9.001 => AMOUNT_SCALE_EXCEEDED tried
         r6: confirm t1                    => ok confirmed #7",
    );
}

#[test]
fn row_09_confirm_of_an_unknown_transaction_leaves_no_tombstone() {
    check(
        "r1: confirm t1                    => TRANSACTION_NOT_FOUND
         r2: try t1 alice>bob 10.00        => ok tried #6
         r1: confirm t1                    => TRANSACTION_NOT_FOUND replayed tried
         r3: confirm t1                    => ok confirmed #7",
    );
}

#[test]
fn rows_10_12_13_cancel_releases_and_is_final() {
    check(
        "r1: try t1 alice>bob 10.00        => ok tried #6
         r2: cancel t1                     => ok cancelled #7
         balance alice                     => debits 0+0 credits 10000+0 available 10000
         r3: cancel t1                     => ok replayed cancelled #7
         r2: cancel t1                     => ok replayed cancelled #7
         r4: confirm t1                    => ALREADY_CANCELLED cancelled
         r5: try t1 alice>bob 10.00        => ok replayed cancelled #6",
    );
}

#[test]
fn rows_11_and_17_the_deadline_is_decided_by_log_time() {
    check(
        "r1: try t1 alice>bob 10.00 timeout=100 at=50  => ok tried #6
         r2: try t2 alice>bob 10.00 timeout=100 at=51  => ok tried #7
         r3: confirm t1 at=149             => ok confirmed #8
         r4: confirm t2 at=151             => TRANSACTION_EXPIRED expired
         balance alice                     => debits 1000+0 credits 10000+0 available 9000
         -- the expiry took record 9
         r5: cancel t2                     => ok expired
         r6: cancel t2                     => ok expired
         r7: post t3 alice>bob 1.00        => ok confirmed #10",
    );
}

#[test]
fn row_14_cancel_after_confirm_is_refused() {
    check(
        "r1: try t1 alice>bob 10.00        => ok tried #6
         r2: confirm t1                    => ok confirmed #7
         r3: cancel t1                     => ALREADY_CONFIRMED confirmed
         r4: post t2 alice>bob 1.00        => ok confirmed #8
         r5: cancel t2                     => ALREADY_CONFIRMED confirmed
         r6: confirm t2                    => ok replayed confirmed #8
         r7: confirm t2 amounts=0.50/0.50  => CONFIRM_DIFFERS confirmed",
    );
}

#[test]
fn rows_15_and_16_an_empty_cancel_fences_for_good() {
    check(
        "r1: cancel t1                     => ok empty cancelled #6
         r2: cancel t1                     => ok empty replayed cancelled #6
         r3: try t1 alice>bob 10.00        => CANCELLED_BEFORE_TRY cancelled
         r4: post t1 alice>bob 10.00       => CANCELLED_BEFORE_TRY cancelled
         r5: confirm t1                    => ALREADY_CANCELLED cancelled
         balance alice                     => debits 0+0 credits 10000+0 available 10000",
    );
}

#[test]
fn row_18_cancel_after_a_refused_try_fences() {
    check(
        "r1: try t1 alice>bob 200.00       => INSUFFICIENT_FUNDS
         r2: cancel t1                     => ok empty cancelled #6
         r3: try t1 alice>bob 20.00        => CANCELLED_BEFORE_TRY cancelled
         r1: try t1 alice>bob 200.00       => INSUFFICIENT_FUNDS replayed cancelled",
    );
}

#[test]
fn row_19_races_are_decided_by_log_order() {
    check(
        "r1: try t1 alice>bob 10.00 timeout=100 at=50  => ok tried #6
         r2: cancel t1 at=149              => ok cancelled #7
         r3: confirm t1 at=200             => ALREADY_CANCELLED cancelled
         r4: try t2 alice>bob 10.00 timeout=100 at=300 => ok tried #8
         r5: confirm t2                    => ok confirmed #9
         r6: cancel t2 at=500              => ALREADY_CONFIRMED confirmed",
    );
}

#[test]
fn row_21_a_look_up_of_the_unknown_is_explicit() {
    check(
        "show t1                           => NOT_FOUND
         outcome r1                        => NOT_FOUND
         balance carol                     => NOT_FOUND
         r1: try t1 alice>bob 500.00       => INSUFFICIENT_FUNDS
         outcome r1                        => INSUFFICIENT_FUNDS
         show t1                           => NOT_FOUND",
    );
}

#[test]
fn an_atomic_batch_is_all() {
    check(
        "b1: atomic i1: try t1 alice>bob 60.00; i2: confirm t1; i3: post t2 bob>alice 5.00 => applied | ok tried #6 | ok confirmed #7 | ok confirmed #8
         b1: atomic i1: try t1 alice>bob 60.00; i2: confirm t1; i3: post t2 bob>alice 5.00 => applied replayed | ok tried #6 | ok confirmed #7 | ok confirmed #8
         i2: confirm t1                    => ok replayed confirmed #7
         b1: atomic i1: try t1 alice>bob 60.00; i2: confirm t1 => REQUEST_ID_REUSED
         b1: cancel t9                     => REQUEST_ID_REUSED",
    );
}

#[test]
fn an_atomic_batch_is_nothing_and_the_culprits_refusal_is_kept() {
    check(
        "r1: try t0 alice>bob 10.00 timeout=500 => ok tried #6
         b1: atomic i1: confirm t0; i2: open carol liability USD; i3: post t1 alice>bob 95.00; i4: cancel t5 => not-applied | NOT_APPLIED tried | NOT_APPLIED | INSUFFICIENT_FUNDS | NOT_APPLIED
         balance alice                     => debits 0+1000 credits 10000+0 available 9000
         balance carol                     => NOT_FOUND
         r2: cancel t0                     => ok cancelled #7
         i3: post t1 alice>bob 95.00       => INSUFFICIENT_FUNDS replayed
         i1: cancel t5                     => ok empty cancelled #8
         i2: open carol liability USD      => ok #9",
    );
}

#[test]
fn a_hold_taken_back_with_its_batch_never_expires() {
    check(
        "b1: atomic i1: try t1 alice>bob 10.00 timeout=50; i2: close alice => not-applied | NOT_APPLIED | ACCOUNT_NOT_EMPTY
         r1: post t2 alice>bob 1.00 at=1000 => ok confirmed #6
         show t1                           => NOT_FOUND",
    );
}

#[test]
fn reversals_never_exceed_the_original() {
    check(
        "r1: post t1 alice>bob 30.00       => ok confirmed #6
         r2: reverse v1 t1 amounts=10.00/10.00 => ok confirmed #7
         r3: reverse v2 t1                 => ALREADY_REVERSED
         r4: reverse v2 t1 amounts=20.00/20.00 => ok confirmed #8
         r5: reverse v3 t1 amounts=0.01/0.01 => ALREADY_REVERSED
         r6: reverse v3 v1                 => REVERSAL_OF_REVERSAL
         r7: reverse v3 t9                 => TRANSACTION_NOT_FOUND
         r8: reverse v2 t1 amounts=20.00/20.00 => ok replayed confirmed #8
         r9: try t2 alice>bob 1.00         => ok tried #9
         ra: reverse v3 t2                 => NOT_CONFIRMED
         rb: cancel t2                     => ok cancelled #10
         rc: reverse v3 t2                 => ALREADY_CANCELLED
         balance bob                       => debits 3000+0 credits 3000+0 available 0",
    );
}

#[test]
fn a_reversal_obeys_floors() {
    check(
        "r1: post t1 alice>bob 30.00       => ok confirmed #6
         r2: post t2 bob>bank 10.00        => ok confirmed #7
         r3: reverse v1 t1                 => INSUFFICIENT_FUNDS",
    );
}

#[test]
fn incoming_pending_money_is_not_spendable_and_counts_for_the_ceiling() {
    check(
        "r1: limits bob ceiling=15.00      => ok #6
         r2: try t1 alice>bob 10.00        => ok tried #7
         r3: post t2 bob>alice 1.00        => INSUFFICIENT_FUNDS
         r4: try t3 alice>bob 5.01         => CEILING_EXCEEDED
         r5: limits bob ceiling=9.99       => CEILING_EXCEEDED
         r6: cancel t1                     => ok cancelled #8
         r7: try t3 alice>bob 15.00        => ok tried #9",
    );
}

#[test]
fn limits_that_today_breaks_are_refused() {
    check(
        "r1: limits alice floor=100.01     => INSUFFICIENT_FUNDS
         r2: limits alice floor=100.00     => ok #6
         r3: post t1 alice>bob 0.01        => INSUFFICIENT_FUNDS
         r4: limits alice floor=-20.00     => ok #7
         r5: post t1 alice>bob 120.00      => ok confirmed #8
         r6: post t2 alice>bob 0.01        => INSUFFICIENT_FUNDS",
    );
}

#[test]
fn accounts_freeze_and_close() {
    check(
        "r1: freeze bob                    => ok #6
         r2: post t1 alice>bob 1.00        => ACCOUNT_FROZEN
         r3: unfreeze bob                  => ok #7
         r4: close alice                   => ACCOUNT_NOT_EMPTY
         r5: close bob                     => ok #8
         r6: post t2 alice>bob 1.00        => ACCOUNT_CLOSED
         r7: unfreeze bob                  => ACCOUNT_CLOSED
         r8: post t3 alice>carol 1.00      => ACCOUNT_NOT_FOUND
         r9: open alice liability USD      => ok replayed #3
         ra: open alice asset USD          => ACCOUNT_EXISTS_DIFFERENT
         rb: asset USD 3                   => ASSET_EXISTS_DIFFERENT
         rc: open dave liability EUR       => ASSET_NOT_FOUND",
    );
}

#[test]
fn the_first_check_that_fails_is_the_answer() {
    check(
        "-- all at once: unknown account, scale, unbalanced, frozen, funds
         r0: open big liability USD floor=unlimited ceiling=1.00 => ok #6
         r1: freeze bob                    => ok #7
         r2: post t1 +alice 999.001, -carol 1.00  => AMOUNT_SCALE_EXCEEDED
         r3: post t1 +carol 1.001, -alice 1.00    => ACCOUNT_NOT_FOUND
         r4: post t1 +alice 999.00, -bob 1.00     => UNBALANCED
         r5: post t1 alice>bob 999.00             => ACCOUNT_FROZEN
         r6: post t1 bank>big 792281625142643375935439503.35 => BALANCE_OVERFLOW
         r7: post t1 alice>big 999.00             => INSUFFICIENT_FUNDS
         r8: post t1 alice>big 99.00              => CEILING_EXCEEDED
         r9: post t1 alice>big 792281625142643375935439503.36 => AMOUNT_OUT_OF_RANGE",
    );
}

#[test]
fn a_malformed_request_is_never_kept() {
    check(
        "r1: post t1 alice>alice 1.00      => INVALID_ARGUMENT
         r1: post t1 alice>bob 0.00        => INVALID_ARGUMENT
         r1: post t1 alice>bob 1e3         => AMOUNT_MALFORMED
         r1: post t1 alice>bob 1.00        => ok confirmed #6",
    );
}
