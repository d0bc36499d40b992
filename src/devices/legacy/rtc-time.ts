/**
 * Time of the MC146818: from milliseconds to registers and back, and what happens between two
 * moments. MC146818A data sheet, "Time, calendar and alarm locations" and "Update cycle".
 *
 * The registers of a clock that runs are a function of the host's clock and an offset, which is
 * what the guest changes when it sets the time. While SET is 1, or the divider is in reset, the
 * registers in RAM stand still.
 */
import type { RegisterBlock } from '../../bus/register-block.js';
import * as cmos from './rtc-registers.js';

const SECOND = 1000;
const DAY = 86_400 * SECOND;
/** UIP goes up before the update; with a millisecond clock, for the last two of each second. */
const UPDATE_MS = 2;
/** Alarm bytes from 0xc0 on match every value. */
const ALARM_ANY = 0xc0;
const PM = 0x80;

/** The time registers of one clock. The block is locked around every call. */
export class RtcTime {
  private readonly ram: Uint8Array;
  private readonly floats: Float64Array;

  constructor(block: RegisterBlock) {
    this.ram = block.bytes;
    const { buffer, byteOffset } = block.bytes;
    this.floats = new Float64Array(buffer, byteOffset + cmos.OFFSET_BYTE, 2);
  }

  private running(): boolean {
    const divider = this.ram[cmos.REGISTER_A]! & cmos.A_DIVIDER;
    // 0x60 and 0x70 hold the divider in reset.
    return (this.ram[cmos.REGISTER_B]! & cmos.B_SET) === 0 && divider < 0x60;
  }

  /** The guest's time, in the range a Date has. */
  private guestTime(now: number): number {
    const offset = this.floats[0]!;
    const time = now + (Number.isFinite(offset) ? offset : 0);
    return Math.abs(time) <= 8.64e15 - DAY ? time : now;
  }

  /** True for the end of each second. */
  updateInProgress(now: number): boolean {
    return this.running() && positive(this.guestTime(now), SECOND) >= SECOND - UPDATE_MS;
  }

  /** Brings the registers in RAM up to date. */
  latch(now: number): void {
    if (!this.running()) return;
    const { ram } = this;
    const date = new Date(Math.floor(this.guestTime(now)));
    const year = date.getUTCFullYear();
    ram[cmos.SECONDS] = this.encode(date.getUTCSeconds());
    ram[cmos.MINUTES] = this.encode(date.getUTCMinutes());
    ram[cmos.HOURS] = this.encodeHour(date.getUTCHours());
    ram[cmos.DAY_OF_WEEK] = date.getUTCDay() + 1;
    ram[cmos.DAY_OF_MONTH] = this.encode(date.getUTCDate());
    ram[cmos.MONTH] = this.encode(date.getUTCMonth() + 1);
    ram[cmos.YEAR] = this.encode(positive(year, 100));
    ram[cmos.CENTURY] = this.encode(positive(Math.floor(year / 100), 100));
  }

  /** The guest writes one time register. */
  set(now: number, index: number, value: number): void {
    this.latch(now);
    this.ram[index] = value;
    if (this.running()) this.adopt(now);
  }

  /** Applies a change of register A or B that may stop or start the clock. */
  reconfigure(now: number, change: () => void): void {
    this.latch(now);
    const ran = this.running();
    change();
    if (!ran && this.running()) this.adopt(now);
  }

  /** The time in the registers is the time now. */
  private adopt(now: number): void {
    const { ram } = this;
    const year = this.decode(ram[cmos.CENTURY]!) * 100 + this.decode(ram[cmos.YEAR]!);
    const date = new Date(0);
    date.setUTCFullYear(
      year,
      this.decode(ram[cmos.MONTH]!) - 1,
      this.decode(ram[cmos.DAY_OF_MONTH]!),
    );
    date.setUTCHours(
      this.decodeHour(ram[cmos.HOURS]!),
      this.decode(ram[cmos.MINUTES]!),
      this.decode(ram[cmos.SECONDS]!),
    );
    this.floats[0] = date.getTime() - now;
  }

  /** Flags of register C for what happened since the last call. */
  eventsUntil(now: number): number {
    const checked = this.floats[1]!;
    this.floats[1] = now;
    if (!this.running()) return 0;
    // The first look, a clock set back, or a restored block with anything in it.
    if (!Number.isFinite(checked) || checked <= 0 || checked >= now) return 0;
    let events = 0;
    const from = this.guestTime(checked);
    const to = this.guestTime(now);
    if (Math.floor(from / SECOND) !== Math.floor(to / SECOND)) {
      events |= cmos.UPDATE_ENDED;
      const alarm = this.nextAlarm(from);
      if (alarm <= to) events |= cmos.ALARM;
    }
    const period = this.period;
    if (Math.floor(from / period) !== Math.floor(to / period)) events |= cmos.PERIODIC;
    return events;
  }

  /** Milliseconds until the first of these events; Infinity when none will come. */
  untilNext(now: number, events: number): number {
    if (!this.running()) return Infinity;
    const time = this.guestTime(now);
    let next = Infinity;
    if ((events & cmos.UPDATE_ENDED) !== 0) next = (Math.floor(time / SECOND) + 1) * SECOND;
    if ((events & cmos.ALARM) !== 0) next = Math.min(next, this.nextAlarm(time));
    if ((events & cmos.PERIODIC) !== 0) {
      next = Math.min(next, (Math.floor(time / this.period) + 1) * this.period);
    }
    return next - time;
  }

  /** Milliseconds of the periodic interrupt; Infinity when the rate is 0. */
  private get period(): number {
    let rate = this.ram[cmos.REGISTER_A]! & cmos.A_RATE;
    if (rate === 0) return Infinity;
    // With a 32.768 kHz crystal the two fastest rates are those of 8 and 9.
    if (rate <= 2) rate += 7;
    return (2 ** (rate - 1) / 32_768) * SECOND;
  }

  /** The first second after `time` that matches the alarm bytes; at most a day away. */
  private nextAlarm(time: number): number {
    const seconds = this.alarmByte(cmos.SECONDS_ALARM, (value) => this.decode(value));
    const minutes = this.alarmByte(cmos.MINUTES_ALARM, (value) => this.decode(value));
    const hours = this.alarmByte(cmos.HOURS_ALARM, (value) => this.decodeHour(value));
    const invalid = (seconds ?? 0) > 59 || (minutes ?? 0) > 59 || (hours ?? 0) > 23;
    if (invalid) return Infinity;
    const first = Math.floor(time / SECOND) + 1;
    let of = positive(first, 86_400);
    let ahead = 0;
    // Each step goes to the next hour, minute or second that can match: at most a few hundred.
    while (ahead <= 2 * 86_400) {
      const hour = Math.floor(of / 3600);
      const minute = Math.floor(of / 60) % 60;
      let step: number;
      if (hours !== undefined && hour !== hours) step = 3600 - (of % 3600);
      else if (minutes !== undefined && minute !== minutes) step = 60 - (of % 60);
      else if (seconds !== undefined && of % 60 !== seconds) step = 1;
      else return (first + ahead) * SECOND;
      ahead += step;
      of = (of + step) % 86_400;
    }
    return Infinity;
  }

  private alarmByte(index: number, decode: (value: number) => number): number | undefined {
    const value = this.ram[index]!;
    return value >= ALARM_ANY ? undefined : decode(value);
  }

  private get binary(): boolean {
    return (this.ram[cmos.REGISTER_B]! & cmos.B_BINARY) !== 0;
  }

  private encode(value: number): number {
    return this.binary ? value : Math.floor(value / 10) * 16 + (value % 10);
  }

  private decode(value: number): number {
    return this.binary ? value : (value >> 4) * 10 + (value & 0x0f);
  }

  private encodeHour(hour: number): number {
    if ((this.ram[cmos.REGISTER_B]! & cmos.B_24_HOURS) !== 0) return this.encode(hour);
    return this.encode(hour % 12 === 0 ? 12 : hour % 12) | (hour >= 12 ? PM : 0);
  }

  private decodeHour(value: number): number {
    if ((this.ram[cmos.REGISTER_B]! & cmos.B_24_HOURS) !== 0) return this.decode(value);
    return (this.decode(value & ~PM) % 12) + ((value & PM) !== 0 ? 12 : 0);
  }
}

/** Remainder that is never negative. */
function positive(value: number, modulus: number): number {
  return ((value % modulus) + modulus) % modulus;
}
