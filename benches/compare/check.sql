-- What the book holds, and whether it is right: one line of accepted transfers, their amount, refusals, and the number
-- of faults. A fault is a book whose sides differ, an account whose postings do not add up to its totals or whose last
-- posting left others than it has, a transaction without its two postings, or an account below its floor.
WITH
  side AS (SELECT sum(debits_posted) AS debits, sum(credits_posted) AS credits FROM account),
  turnover AS (
    SELECT account, sum(amount) FILTER (WHERE is_debit) AS debits, sum(amount) FILTER (WHERE NOT is_debit) AS credits,
      max(debits_posted) AS last_debits, max(credits_posted) AS last_credits
    FROM posting GROUP BY account
  ),
  wrong_account AS (
    SELECT count(*) AS count FROM account LEFT JOIN turnover ON turnover.account = account.id
    WHERE id >= 0 AND (
      account.debits_posted <> coalesce(turnover.debits, 0)
      OR account.credits_posted - :funding <> coalesce(turnover.credits, 0)
      OR account.debits_posted <> coalesce(turnover.last_debits, account.debits_posted)
      OR account.credits_posted <> coalesce(turnover.last_credits, account.credits_posted)
      OR account.credits_posted - account.debits_posted - account.debits_pending < account.floor
    )
  ),
  accepted AS (
    SELECT count(*) AS count, coalesce(sum(amount), 0) AS amount FROM transaction WHERE outcome = 'accepted'
  ),
  refused AS (SELECT count(*) AS count FROM transaction WHERE outcome <> 'accepted'),
  posted AS (
    SELECT count(*) AS count, coalesce(sum(amount) FILTER (WHERE is_debit), 0) AS debits,
      coalesce(sum(amount) FILTER (WHERE NOT is_debit), 0) AS credits FROM posting
  )
SELECT accepted.count, accepted.amount, refused.count,
  wrong_account.count
  + (side.debits <> side.credits)::int
  + (posted.count <> 2 * accepted.count)::int
  + (posted.debits <> accepted.amount OR posted.credits <> accepted.amount)::int
FROM accepted, refused, side, posted, wrong_account;
