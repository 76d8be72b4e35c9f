-- Whole events; a field that is not named here is skipped.
CREATE TABLE events (
  seq BIGINT, happened TIMESTAMP_LTZ(3), type STRING, subject STRING,
  amount DOUBLE, `rows` BIGINT, results BIGINT, status BIGINT, seconds DOUBLE, ms DOUBLE,
  order_id STRING, reason STRING, plan STRING, job STRING, format STRING, state STRING, path STRING,
  query STRING, workspace STRING, step STRING, endpoint STRING, document STRING, `result` STRING,
  device STRING, integration STRING,
  ms_at AS UNIX_TIMESTAMP(CAST(happened AS STRING)) * 1000 + EXTRACT(MILLISECOND FROM happened),
  WATERMARK FOR happened AS happened
) WITH ('connector' = 'filesystem', 'path' = '{events}.json', 'format' = 'json',
        'json.timestamp-format.standard' = 'ISO-8601');
