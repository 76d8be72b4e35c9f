-- The columns that the questions read, and no more.
CREATE TABLE events (
  seq BIGINT, ms_at BIGINT, type STRING, subject STRING,
  amount DOUBLE, `rows` BIGINT, results BIGINT, status BIGINT, seconds DOUBLE, ms DOUBLE,
  order_id STRING, reason STRING, plan STRING, job STRING, format STRING, state STRING, path STRING,
  query STRING, workspace STRING, step STRING, endpoint STRING, document STRING, `result` STRING,
  device STRING, integration STRING,
  happened AS TO_TIMESTAMP_LTZ(ms_at, 3),
  WATERMARK FOR happened AS happened
) WITH ('connector' = 'filesystem', 'path' = '{events}.csv', 'format' = 'csv', 'csv.null-literal' = '');
