/** Chance from a seed: the same seed publishes the same messages and chooses the same faults. */
import { uniformInt } from 'pure-rand/distribution/uniformInt';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';

export interface Random {
  /** min..max, both included. */
  int(min: number, max: number): number;
  chance(probability: number): boolean;
  pick<T>(items: readonly T[]): T;
  /** Each as often as its weight says. */
  weighted<T extends { readonly weight: number }>(items: readonly T[]): T;
  uuid(): string;
}

export function seeded(seed: number): Random {
  const generator = xoroshiro128plus(seed);
  const int = (min: number, max: number): number => uniformInt(generator, min, max);
  const pick = <T>(items: readonly T[]): T => {
    const item = items[int(0, items.length - 1)];
    if (item === undefined) throw new Error('nothing to pick from');
    return item;
  };
  return {
    int,
    chance: (probability) => int(0, 999_999) < probability * 1_000_000,
    pick,
    weighted: (items) => {
      let left = int(
        1,
        items.reduce((sum, { weight }) => sum + weight, 0),
      );
      for (const item of items) if ((left -= item.weight) <= 0) return item;
      return pick(items);
    },
    uuid: () => {
      const hex = Array.from({ length: 32 }, () => int(0, 15).toString(16)).join('');
      return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20)}`;
    },
  };
}
