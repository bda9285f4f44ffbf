// One request a turn, the same body each time; what came back is counted by status. Run by benchmarks/load.py.
import http from 'k6/http';
import { Counter, Trend } from 'k6/metrics';

const body = open(__ENV.BODY, 'b');
const headers = { 'Content-Type': 'image/png', ...JSON.parse(__ENV.HEADERS) };
const accepted = new Trend('accepted', true);
const refused = new Trend('refused', true);
const failed = new Counter('failed');

export const options = JSON.parse(__ENV.OPTIONS);

export default function () {
  const answer = http.post(__ENV.URL, body, { headers, responseType: 'none' });
  if (answer.status === 200) {
    accepted.add(answer.timings.duration);
  } else if (answer.status === 429) {
    refused.add(answer.timings.duration);
  } else {
    failed.add(1);
  }
}

export function handleSummary(data) {
  return { stdout: JSON.stringify(data.metrics) };
}
