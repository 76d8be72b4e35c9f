-- The questions of windows.yaml as window functions over the Parquet file. A window (T - w, T] of
-- whole milliseconds is [T - w + 1 ms, T].
WITH events AS (SELECT * FROM read_parquet('{events}')),

declined_then_silence AS (
  SELECT seq FROM (
    SELECT seq, type,
      count(*) FILTER (type = 'checkout.started') OVER recent AS started_20m,
      count(*) FILTER (type = 'payment.declined') OVER recent AS declined_20m,
      count(*) FILTER (type = 'payment.succeeded') OVER recent AS succeeded_20m
    FROM events WHERE type IN ('checkout.started', 'payment.declined', 'payment.succeeded')
    WINDOW recent AS (PARTITION BY subject, order_id ORDER BY happened
      RANGE BETWEEN INTERVAL '1199999 milliseconds' PRECEDING AND CURRENT ROW))
  WHERE type = 'payment.declined' AND started_20m >= 1 AND declined_20m >= 2 AND succeeded_20m = 0),

checkout_abandoned AS (
  SELECT seq FROM (
    SELECT seq, type, amount, count(*) OVER (PARTITION BY subject, order_id ORDER BY happened
      RANGE BETWEEN CURRENT ROW AND INTERVAL '15 minutes' FOLLOWING) AS following
    FROM events WHERE type IN ('checkout.started', 'payment.succeeded', 'payment.declined'))
  WHERE type = 'checkout.started' AND amount > 440 AND following = 1),

valued_customer_declined AS (
  SELECT seq FROM (
    SELECT seq, happened, type, amount, reason,
      sum(amount) FILTER (type = 'payment.succeeded') OVER (PARTITION BY subject ORDER BY happened
        RANGE BETWEEN INTERVAL '86399999 milliseconds' PRECEDING AND CURRENT ROW) AS paid_1d,
      max(happened) FILTER (type = 'payment.succeeded') OVER known AS paid_at,
      last_value(CASE WHEN type = 'session.started' THEN plan END IGNORE NULLS) OVER known AS last_plan
    FROM events WHERE type IN ('payment.declined', 'payment.succeeded', 'session.started')
    WINDOW known AS (PARTITION BY subject ORDER BY happened
      ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW))
  WHERE type = 'payment.declined' AND amount >= 100 AND reason <> 'stolen' AND paid_1d > 200
    AND happened - paid_at > INTERVAL '60 seconds' AND last_plan IN ('team', 'enterprise')),

export_stuck AS (
  SELECT seq FROM (
    SELECT seq, type, rows AS size, count(*) OVER (PARTITION BY subject, job ORDER BY happened
      RANGE BETWEEN CURRENT ROW AND INTERVAL '10 minutes' FOLLOWING) AS following
    FROM events WHERE type IN ('export.started', 'export.finished'))
  WHERE type = 'export.started' AND size > 900000 AND following = 1),

export_fails_again AS (
  SELECT seq FROM (
    SELECT seq, rows AS size, count(*) OVER (PARTITION BY subject, format ORDER BY happened
      RANGE BETWEEN INTERVAL '1799999 milliseconds' PRECEDING AND CURRENT ROW) AS failed_30m
    FROM events WHERE type = 'export.finished' AND state = 'failed')
  WHERE size > 1000 AND failed_30m >= 2),

export_too_large AS (
  SELECT seq FROM (
    SELECT seq, type, rows AS size,
      sum(rows) FILTER (type = 'export.finished') OVER (PARTITION BY subject ORDER BY happened
        RANGE BETWEEN INTERVAL '3599999 milliseconds' PRECEDING AND CURRENT ROW) AS rows_1h,
      last_value(CASE WHEN type = 'export.finished' THEN state END IGNORE NULLS) OVER (
        PARTITION BY subject ORDER BY happened
        RANGE BETWEEN INTERVAL '21599999 milliseconds' PRECEDING AND CURRENT ROW) AS last_end
    FROM events WHERE type IN ('export.started', 'export.finished'))
  WHERE type = 'export.started' AND size > 800000 AND rows_1h > 1500000 AND last_end = 'failed'),

help_in_vain AS (
  SELECT seq FROM (
    SELECT seq, type,
      count(*) FILTER (type = 'page.viewed') OVER recent AS help_10m,
      count(*) FILTER (type = 'feature.used') OVER recent AS used_10m
    FROM events WHERE type = 'feature.used' OR (type = 'page.viewed' AND starts_with(path, '/help/'))
    WINDOW recent AS (PARTITION BY subject ORDER BY happened
      RANGE BETWEEN INTERVAL '599999 milliseconds' PRECEDING AND CURRENT ROW))
  WHERE type = 'page.viewed' AND help_10m >= 3 AND used_10m = 0),

lost_and_slow AS (
  SELECT seq FROM (
    SELECT seq,
      count(*) FILTER (type = 'search.performed') OVER recent AS nothing_1m,
      count(*) FILTER (type = 'page.slow') OVER recent AS slow_1m
    FROM events
    WHERE (type = 'search.performed' AND results = 0) OR (type = 'page.slow' AND seconds > 8)
    WINDOW recent AS (PARTITION BY subject ORDER BY happened
      RANGE BETWEEN INTERVAL '59999 milliseconds' PRECEDING AND CURRENT ROW))
  WHERE nothing_1m >= 1 AND slow_1m >= 1),

search_without_result AS (
  SELECT seq FROM (
    SELECT seq, results,
      count(*) FILTER (results = 0) OVER recent AS nothing_10m,
      count(*) FILTER (results > 0) OVER recent AS found_10m
    FROM events WHERE type = 'search.performed'
    WINDOW recent AS (PARTITION BY subject ORDER BY happened
      RANGE BETWEEN INTERVAL '599999 milliseconds' PRECEDING AND CURRENT ROW))
  WHERE results = 0 AND nothing_10m >= 3 AND found_10m = 0),

searching_in_circles AS (
  SELECT seq FROM (
    SELECT seq, happened, type, results,
      count(DISTINCT query) OVER (PARTITION BY subject ORDER BY happened
        RANGE BETWEEN INTERVAL '299999 milliseconds' PRECEDING AND CURRENT ROW) AS words_5m,
      max(happened) FILTER (type = 'feature.used') OVER (PARTITION BY subject ORDER BY happened
        ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS used_at
    FROM events WHERE type IN ('search.performed', 'feature.used'))
  WHERE type = 'search.performed' AND results = 0 AND words_5m >= 5
    AND (used_at IS NULL OR happened - used_at > INTERVAL '120 seconds')),

onboarding_stalled AS (
  SELECT seq FROM (
    SELECT seq, state, step, count(*) OVER (PARTITION BY subject, workspace ORDER BY happened
      RANGE BETWEEN CURRENT ROW AND INTERVAL '30 minutes' FOLLOWING) AS following
    FROM events WHERE type = 'onboarding.step' AND (state = 'done' OR step = 'import'))
  WHERE state = 'begun' AND step = 'import' AND following = 1),

onboarding_repeated AS (
  SELECT seq FROM (
    SELECT seq, step, count(*) OVER (PARTITION BY subject, step ORDER BY happened
      RANGE BETWEEN INTERVAL '3599999 milliseconds' PRECEDING AND CURRENT ROW) AS same_step_1h
    FROM events WHERE type = 'onboarding.step' AND state = 'begun')
  WHERE same_step_1h >= 4 AND step <> 'welcome'),

connecting_failed AS (
  SELECT seq FROM (
    SELECT seq, type, count(*) FILTER (type = 'onboarding.step') OVER (
      PARTITION BY subject ORDER BY happened
      RANGE BETWEEN INTERVAL '899999 milliseconds' PRECEDING AND CURRENT ROW) AS connects_15m
    FROM events
    WHERE (type = 'onboarding.step' AND step = 'connect')
       OR (type = 'integration.failed' AND reason IN ('auth', 'scope')))
  WHERE type = 'integration.failed' AND connects_15m >= 1),

integration_down AS (
  SELECT seq FROM (
    SELECT seq, count(*) OVER (PARTITION BY subject, integration ORDER BY happened
      RANGE BETWEEN INTERVAL '599999 milliseconds' PRECEDING AND CURRENT ROW) AS failed_10m
    FROM events WHERE type = 'integration.failed')
  WHERE failed_10m >= 3),

api_errors AS (
  SELECT seq FROM (
    SELECT seq, type, status,
      count(*) FILTER (type = 'request.failed' AND status >= 500) OVER recent AS errors_5m,
      count(*) FILTER (type = 'request.completed') OVER recent AS requests_5m
    FROM events WHERE type IN ('request.failed', 'request.completed')
    WINDOW recent AS (PARTITION BY subject ORDER BY happened
      RANGE BETWEEN INTERVAL '299999 milliseconds' PRECEDING AND CURRENT ROW))
  WHERE type = 'request.failed' AND status >= 500 AND errors_5m >= 4 AND errors_5m * 5 > requests_5m),

rate_limited AS (
  SELECT seq FROM (
    SELECT seq, count(*) OVER (PARTITION BY subject, endpoint ORDER BY happened
      RANGE BETWEEN INTERVAL '119999 milliseconds' PRECEDING AND CURRENT ROW) AS limited_2m
    FROM events WHERE type = 'request.failed' AND status = 429)
  WHERE limited_2m >= 4),

endpoint_slow AS (
  SELECT seq FROM (
    SELECT seq, type, status, avg(ms) FILTER (type = 'request.completed') OVER (
      PARTITION BY subject, endpoint ORDER BY happened
      RANGE BETWEEN INTERVAL '599999 milliseconds' PRECEDING AND CURRENT ROW) AS mean_ms
    FROM events WHERE type IN ('request.failed', 'request.completed'))
  WHERE type = 'request.failed' AND status = 504 AND mean_ms > 150),

-- quantile_disc is the percentile by nearest rank.
pages_slow AS (
  SELECT seq FROM (
    SELECT seq, seconds, count(*) OVER recent AS slow_30m,
      quantile_disc(seconds, 0.9) OVER recent AS seconds_p90
    FROM events WHERE type = 'page.slow'
    WINDOW recent AS (PARTITION BY subject ORDER BY happened
      RANGE BETWEEN INTERVAL '1799999 milliseconds' PRECEDING AND CURRENT ROW))
  WHERE seconds > 8 AND slow_30m >= 6 AND seconds_p90 >= 9.4),

saves_conflict AS (
  SELECT seq FROM (
    SELECT seq, count(*) OVER (PARTITION BY subject, document ORDER BY happened
      RANGE BETWEEN INTERVAL '299999 milliseconds' PRECEDING AND CURRENT ROW) AS conflicts_5m
    FROM events WHERE type = 'document.saved' AND result = 'conflict')
  WHERE conflicts_5m >= 2),

sessions_restarted AS (
  SELECT seq FROM (
    SELECT seq, type,
      count(*) FILTER (type = 'session.started') OVER recent AS sessions_15m,
      count(DISTINCT device) FILTER (type = 'session.started') OVER recent AS devices_15m,
      count(*) FILTER (type = 'page.viewed') OVER recent AS pages_15m
    FROM events WHERE type IN ('session.started', 'page.viewed')
    WINDOW recent AS (PARTITION BY subject ORDER BY happened
      RANGE BETWEEN INTERVAL '899999 milliseconds' PRECEDING AND CURRENT ROW))
  WHERE type = 'session.started' AND sessions_15m >= 4 AND devices_15m <= 2 AND pages_15m <= 12)

SELECT 'declined-then-silence' AS question, seq FROM declined_then_silence UNION ALL
SELECT 'checkout-abandoned' AS question, seq FROM checkout_abandoned UNION ALL
SELECT 'valued-customer-declined' AS question, seq FROM valued_customer_declined UNION ALL
SELECT 'export-stuck' AS question, seq FROM export_stuck UNION ALL
SELECT 'export-fails-again' AS question, seq FROM export_fails_again UNION ALL
SELECT 'export-too-large' AS question, seq FROM export_too_large UNION ALL
SELECT 'help-in-vain' AS question, seq FROM help_in_vain UNION ALL
SELECT 'lost-and-slow' AS question, seq FROM lost_and_slow UNION ALL
SELECT 'search-without-result' AS question, seq FROM search_without_result UNION ALL
SELECT 'searching-in-circles' AS question, seq FROM searching_in_circles UNION ALL
SELECT 'onboarding-stalled' AS question, seq FROM onboarding_stalled UNION ALL
SELECT 'onboarding-repeated' AS question, seq FROM onboarding_repeated UNION ALL
SELECT 'connecting-failed' AS question, seq FROM connecting_failed UNION ALL
SELECT 'integration-down' AS question, seq FROM integration_down UNION ALL
SELECT 'api-errors' AS question, seq FROM api_errors UNION ALL
SELECT 'rate-limited' AS question, seq FROM rate_limited UNION ALL
SELECT 'endpoint-slow' AS question, seq FROM endpoint_slow UNION ALL
SELECT 'pages-slow' AS question, seq FROM pages_slow UNION ALL
SELECT 'saves-conflict' AS question, seq FROM saves_conflict UNION ALL
SELECT 'sessions-restarted' AS question, seq FROM sessions_restarted
