import { SETTING_NAMES } from '@embergate/contracts/settings.ts';
import { loadConfig } from '@embergate/platform/config.ts';
import { Command, CommanderError } from 'commander';
import { homedir } from 'node:os';
import packageJson from '../package.json' with { type: 'json' };
import { chunksCommand } from './commands/chunks.ts';
import { collectionsCommand } from './commands/collections.ts';
import { doctorCommand } from './commands/doctor.ts';
import { evalCommand } from './commands/eval.ts';
import { indexCommand } from './commands/index-source.ts';
import { jobsCommand } from './commands/jobs.ts';
import { keysCommand } from './commands/keys.ts';
import { modelCommand } from './commands/model.ts';
import { processCommands } from './commands/processes.ts';
import { searchCommand } from './commands/search.ts';
import { statusCommand } from './commands/status.ts';
import { upCommand } from './commands/up.ts';
import { EXIT, printError } from './output.ts';
import { takeSettingFlags } from './setting-flags.ts';
import { cliSettings, type CliContext } from './context.ts';

/** Runs one command line. @returns the exit code. */
async function main(commandLine: readonly string[]): Promise<number> {
  const interrupt = new AbortController();
  let exitCode: number = EXIT.done;
  try {
    const { argv, settings } = takeSettingFlags(commandLine, [...SETTING_NAMES, 'EMBERGATE_SOURCE']);
    // The processes that a command starts, or becomes, read their own settings from here.
    const env = Object.assign(process.env, settings);
    const config = loadConfig(cliSettings, env);
    const context: CliContext = {
      config,
      env,
      home: homedir(),
      signal: interrupt.signal,
      setExitCode: (code) => (exitCode = code),
    };
    const program = new Command('embergate')
      .description("Self-hosted semantic code search whose answers keep coming when the GPU doesn't")
      .version(packageJson.version)
      .addHelpText(
        'after',
        '\nEvery setting is an environment variable and a flag: GATEWAY_PORT=9000 or --gateway-port 9000.',
      )
      .showHelpAfterError()
      .exitOverride();
    for (const make of [
      upCommand,
      indexCommand,
      searchCommand,
      statusCommand,
      jobsCommand,
      collectionsCommand,
      chunksCommand,
      modelCommand,
      doctorCommand,
      evalCommand,
      keysCommand,
    ]) {
      program.addCommand(make(context));
    }
    for (const command of processCommands(context)) program.addCommand(command);
    for (const command of program.commands) inheritExit(command);
    const onInterrupt = (): void => interrupt.abort(new Interrupted());
    process.once('SIGINT', onInterrupt);
    process.once('SIGTERM', onInterrupt);
    await program.parseAsync(argv);
    return exitCode;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.usage;
    if (interrupt.signal.aborted) return EXIT.interrupted;
    return printError(error);
  }
}

class Interrupted extends Error {
  override name = 'AbortError';
}

/** Commander's own way out would end the process in the middle of what it does. */
function inheritExit(command: Command): void {
  command.exitOverride();
  for (const sub of command.commands) inheritExit(sub);
}

// A reader such as `head` that has enough is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? EXIT.done : EXIT.failed);
});
process.exitCode = await main(process.argv);
