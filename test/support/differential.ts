// SPDX-License-Identifier: Apache-2.0
/** One script played to both sides, and the shortest one that still comes out differently. */
import type { Case, Difference } from '../fuzz/differences.js';
import { type Outcome, Player } from './play.js';
import type { Side } from './reference.js';
import type { Flow, Script, Step } from './script.js';

export interface Divergence {
  readonly script: Script;
  readonly step: Step;
  readonly sluice: Outcome;
  readonly netfilter: Outcome;
}

/** Packets cross veths in the sender's own time; on a busy machine they may not. */
const QUIET_MS = [4, 30, 200];

export class Differential {
  readonly #sluice: Side;
  readonly #netfilter: Side;
  readonly #differences: readonly Difference[];
  /** How often each known difference was met, and how many packets came out alike. */
  readonly met = new Map<string, number>();
  alike = 0;

  constructor(sluice: Side, netfilter: Side, differences: readonly Difference[]) {
    this.#sluice = sluice;
    this.#netfilter = netfilter;
    this.#differences = differences;
  }

  /** The first step that comes out differently for no known reason, also with more time. */
  async play(script: Script): Promise<Divergence | null> {
    let found: Divergence | null = null;
    for (const quietMs of QUIET_MS) {
      found = await this.#once(script, quietMs);
      if (!found) return null;
    }
    return found;
  }

  async #once(script: Script, quietMs: number): Promise<Divergence | null> {
    await Promise.all([this.#sluice.forget(), this.#netfilter.forget()]);
    const players = [this.#sluice, this.#netfilter].map((side) => new Player(side, script, quietMs));
    // where a known difference took effect the two sides hold different states from there on
    const parted = new Set<string>();
    for (const [index, step] of script.steps.entries()) {
      const flow = script.flows[step.flow] as Flow;
      if (parted.has(pathOf(flow))) continue;
      const [sluice, netfilter] = await Promise.all(players.map((player) => player.step(step, index)));
      if (!sluice || !netfilter) {
        if (sluice || netfilter) throw new Error('only one side had something to send');
        continue;
      }
      if (same(sluice, netfilter)) {
        this.alike += sluice.out.length;
        continue;
      }
      const before = script.steps.slice(0, index).filter((s) => s.flow === step.flow && s.what === 'packet');
      const c: Case = { family: script.family, flow, step, before, sluice, netfilter };
      const known = this.#differences.find((d) => (d.family ?? c.family) === c.family && d.applies(c));
      if (!known) return { script, step, sluice, netfilter };
      this.met.set(known.name, (this.met.get(known.name) ?? 0) + 1);
      parted.add(pathOf(flow));
    }
    return null;
  }

  /** Drops steps, then flows, as long as the script still comes out differently. */
  async shorten(found: Divergence): Promise<Divergence> {
    let best = found;
    const upTo = best.script.steps.indexOf(best.step);
    best = (await this.play(withSteps(best.script, best.script.steps.slice(0, upTo + 1)))) ?? best;
    for (let at = best.script.steps.length - 2; at >= 0; at--) {
      const fewer = best.script.steps.filter((_, i) => i !== at);
      best = (await this.play(withSteps(best.script, fewer))) ?? best;
    }
    return best;
  }
}

/** Flows from one address and port to one place share their fate. */
function pathOf(f: Flow): string {
  return [f.protocol, f.target, f.dport, f.sport].join(' ');
}

const withSteps = (script: Script, steps: readonly Step[]): Script => ({ ...script, steps });

function same(a: Outcome, b: Outcome): boolean {
  return a.out.length === b.out.length && a.out.every((line, i) => line === b.out[i]);
}

export function report({ script, step, sluice, netfilter }: Divergence): string {
  const used = [...new Set(script.steps.map((s) => s.flow))];
  const lines = (o: Outcome): string => o.out.map((l) => `    ${l}`).join('\n') || '    nothing';
  return [
    'the shortest script that comes out differently:',
    ...used.map((i) => `  flow ${i}: ${JSON.stringify(script.flows[i])}`),
    ...script.steps.map((s) => `  ${s === step ? '>' : ' '} ${JSON.stringify(s)}`),
    `  Sluice (dropped: ${sluice.remarks.dropped.join(' ') || '-'}):`,
    lines(sluice),
    `  netfilter (${netfilter.remarks.invalid ? 'INVALID' : 'valid'}):`,
    lines(netfilter),
  ].join('\n');
}
