// SPDX-License-Identifier: Apache-2.0
/**
 * A metric whose values are somebody else's, the kernel's mostly, and are read
 * when Prometheus scrapes. prom-client's own counters can only be added to.
 */
import type { MetricObjectWithValues, MetricType, MetricValue, Registry } from 'prom-client';

export interface Sample {
  labels?: Record<string, string>;
  value: number;
  /** `_bucket`, `_sum` or `_count` of a histogram; else ''. */
  suffix?: string;
}

export interface Sampled {
  name: string;
  help: string;
  type: 'counter' | 'gauge' | 'histogram';
  read(): Sample[] | Promise<Sample[]>;
}

export function register(registry: Registry, metric: Sampled): void {
  registry.registerMetric({
    name: metric.name,
    help: metric.help,
    type: metric.type,
    async get(): Promise<MetricObjectWithValues<MetricValue<string>>> {
      const samples = await metric.read();
      return {
        name: metric.name,
        help: metric.help,
        // the enum's members are these very words
        type: metric.type as unknown as MetricType,
        aggregator: 'sum',
        values: samples.map((s) => ({
          labels: s.labels ?? {},
          value: s.value,
          metricName: metric.name + (s.suffix ?? ''),
        })),
      } as unknown as MetricObjectWithValues<MetricValue<string>>;
    },
    // registerMetric wants prom-client's classes, of which it calls only get()
  } as never);
}

/** A histogram from cumulative counts; the last bound is +Inf. */
export function histogram(
  bounds: readonly number[],
  buckets: readonly number[],
  count: number,
  sum: number,
  labels: Record<string, string> = {},
): Sample[] {
  return [
    ...bounds.map((le, i) => ({
      labels: { ...labels, le: String(le) },
      value: buckets[i] ?? 0,
      suffix: '_bucket',
    })),
    { labels: { ...labels, le: '+Inf' }, value: count, suffix: '_bucket' },
    { labels, value: sum, suffix: '_sum' },
    { labels, value: count, suffix: '_count' },
  ];
}
