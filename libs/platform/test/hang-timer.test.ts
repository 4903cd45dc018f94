import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { startHangTimer } from '../src/hang-timer.ts';

describe('taking something for hung', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('comes after the limit and a moment of grace, once', () => {
    const onHang = vi.fn();
    startHangTimer(1_000, onHang);
    vi.advanceTimersByTime(1_249);
    expect(onHang).not.toHaveBeenCalled();
    vi.advanceTimersByTime(10_000);
    expect(onHang).toHaveBeenCalledOnce();
  });

  it('is called off by an answer that is read only after the limit', () => {
    const onHang = vi.fn();
    const callOff = startHangTimer(1_000, onHang);
    setTimeout(callOff, 1_001);
    vi.advanceTimersByTime(10_000);
    expect(onHang).not.toHaveBeenCalled();
    expect(vi.getTimerCount()).toBe(0);
  });
});
