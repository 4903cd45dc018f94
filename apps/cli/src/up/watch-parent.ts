/**
 * Calls back when the process that started this one is gone. A parent killed with -9 tells nobody: its children only see
 * that they have another parent.
 */
export function onParentGone(callback: () => void): () => void {
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    callback();
  }, 1_000);
  timer.unref();
  return () => clearInterval(timer);
}
