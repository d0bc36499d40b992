import type { CommandModule } from 'yargs';
import { VexitError } from '../../util/errors.js';

/** Asks the program itself what may follow, so that options and commands are always the current ones. */
const BASH = `# bash completion for vexit: source <(vexit completion bash)
_vexit() {
  local IFS=$'\\n'
  mapfile -t COMPREPLY < <(vexit --get-yargs-completions "\${COMP_WORDS[@]}" 2>/dev/null)
  [ \${#COMPREPLY[@]} -eq 0 ] && mapfile -t COMPREPLY < <(compgen -f -- "\${COMP_WORDS[COMP_CWORD]}")
}
complete -o default -F _vexit vexit
`;

const ZSH = `#compdef vexit
# zsh completion for vexit: source <(vexit completion zsh)
_vexit() {
  local -a replies
  replies=(\${(f)"$(vexit --get-yargs-completions "\${words[@]}" 2>/dev/null)"})
  if (( \${#replies} )); then _describe 'vexit' replies; else _files; fi
}
compdef _vexit vexit
`;

const FISH = `# fish completion for vexit: vexit completion fish | source
complete -c vexit -a '(vexit --get-yargs-completions (commandline -opc) (commandline -ct) 2>/dev/null)'
`;

const SCRIPTS: Record<string, string> = { bash: BASH, zsh: ZSH, fish: FISH };

export const completionCommand: CommandModule<object, { shell: string }> = {
  command: 'completion [shell]',
  describe: 'Print a completion script for bash, zsh or fish',
  builder: (yargs) =>
    yargs
      .positional('shell', { type: 'string', default: 'bash', describe: 'bash, zsh or fish' })
      .example('source <(vexit completion bash)', 'complete vexit in this shell'),
  handler: ({ shell }) => {
    const script = SCRIPTS[shell];
    if (script === undefined) {
      throw new VexitError('ERR_CONFIG', `no completion for ${shell}`, 'write bash, zsh or fish');
    }
    process.stdout.write(script);
  },
};
