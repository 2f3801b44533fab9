package main

import (
	"bufio"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"nsh/builtins"
	"nsh/runtime/fault"
)

// completeWord is the hidden command that the scripts of other shells call:
//
//	nsh __complete -- image inspect bu
//
// It prints a candidate a line, with a tab and a line on it where there is one, and
// as its last line what else can stand there: ":" or ":files". A candidate that does not
// begin with the word is for shells that match otherwise.
const completeWord = "__complete"

// completeFor bounds what one Tab in another shell may take.
const completeFor = 1500 * time.Millisecond

// completeWords is that command, with the words behind the program's name.
func completeWords(ctx context.Context, g *globals, env *builtins.Env, io builtins.Stdio, words []string) int {
	if len(words) > 0 && words[0] == "--" {
		words = words[1:]
	}
	if len(words) == 0 {
		words = []string{""}
	}
	ctx, cancel := context.WithTimeout(ctx, completeFor)
	defer cancel()
	last := words[len(words)-1]
	var c builtins.Choices
	before, pending := g.skip(words[:len(words)-1])
	switch {
	case pending != nil:
		c = builtins.CompleteGlobal(env, pending.Name, last)
	case len(before) == 0 && strings.HasPrefix(last, "-"):
		c = g.choices(env, last)
	case len(before) == 0:
		c = builtins.Complete(env, []string{last})
		c.Now = append(c.Now, builtins.Choice{Text: "completion", Doc: "Print a script that completes nsh in another shell"})
		if g.program == "nsh" {
			for _, name := range sortedKeys(tools) {
				c.Now = append(c.Now, builtins.Choice{Text: name, Doc: tools[name].short})
			}
			c.Files = strings.ContainsAny(last, "/.") // of a script
		}
	case before[0] == "completion":
		for _, s := range sortedKeys(completionScripts) {
			if len(before) == 1 {
				c.Now = append(c.Now, builtins.Choice{Text: s})
			}
		}
	case g.program == "nsh" && (isScript(before[0]) || tools[before[0]].run != nil):
		c.Files = true
	default:
		c = builtins.Complete(env, append(before, last))
	}
	list := c.Now
	if c.Later != nil {
		list = append(slices.Clone(list), c.Later(ctx)...)
	}
	out := bufio.NewWriter(io.Out)
	for _, x := range list {
		text := last[:c.Prefix] + x.Text
		if strings.ContainsAny(text, "\n\t") {
			continue
		}
		doc, _, _ := strings.Cut(x.Doc, "\n")
		if x.Open {
			text += "\x1f" // no blank follows
		}
		fmt.Fprintf(out, "%s\t%s\n", text, strings.ReplaceAll(doc, "\t", " "))
	}
	end := ":"
	if c.Files {
		end = ":files"
	}
	fmt.Fprintln(out, end)
	if out.Flush() != nil {
		return 1
	}
	return 0
}

// skip gives the words behind the global flags, and the flag that still wants a value.
func (g *globals) skip(words []string) (rest []string, pending *pflag.Flag) {
	for i := 0; i < len(words); i++ {
		w := words[i]
		if !strings.HasPrefix(w, "-") || w == "-" {
			// Values of the global flags count: they say where names are.
			_ = g.set.Parse(words[:i])
			return words[i:], nil
		}
		var f *pflag.Flag
		if name, ok := strings.CutPrefix(w, "--"); ok {
			f = g.set.Lookup(name)
		} else if len(w) == 2 {
			f = g.set.ShorthandLookup(w[1:])
		}
		if f != nil && f.NoOptDefVal == "" {
			if i++; i == len(words) {
				return nil, f
			}
		}
	}
	_ = g.set.Parse(words)
	return nil, nil
}

// choices are the global flags.
func (g *globals) choices(env *builtins.Env, word string) builtins.Choices {
	if name, value, ok := strings.Cut(strings.TrimPrefix(word, "--"), "="); ok {
		c := builtins.CompleteGlobal(env, name, value)
		c.Prefix += len(word) - len(value)
		return c
	}
	var c builtins.Choices
	g.set.VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			c.Now = append(c.Now, builtins.Choice{Text: "--" + f.Name, Doc: f.Usage})
		}
	})
	return c
}

// completion prints the script of a shell.
func completion(io builtins.Stdio, args []string) int {
	names := sortedKeys(completionScripts)
	if len(args) == 1 && completionScripts[args[0]] != "" {
		fmt.Fprint(io.Out, completionScripts[args[0]])
		return 0
	}
	if len(args) == 1 && (args[0] == "--help" || args[0] == "-h") {
		fmt.Fprintf(io.Out, "Usage:  nsh completion %s\n\n%s", strings.Join(names, "|"), completionHelp)
		return 0
	}
	err := fault.New(fault.Invalid, "completion: want the name of a shell").WithHint("nsh completion %s", strings.Join(names, "|"))
	fmt.Fprintf(io.Err, "nsh: %s\nhint: %s\n", err, fault.HintOf(err))
	return 2
}

const completionHelp = `Print a script that completes nsh, and docker and nerdctl when they are links to it.

  bash   source <(nsh completion bash)                  in ~/.bashrc
  zsh    source <(nsh completion zsh)                   in ~/.zshrc, behind compinit
  fish   nsh completion fish | source                   in ~/.config/fish/config.fish
`

func sortedKeys[V any](m map[string]V) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// completionScripts complete nsh, and the links to it: a docker or nerdctl that is
// another program is left alone.
var completionScripts = map[string]string{"bash": bashCompletion, "zsh": zshCompletion, "fish": fishCompletion}

const bashCompletion = `# bash completion for nsh: source <(nsh completion bash)

__nsh_complete() {
    local line=${COMP_LINE:0:COMP_POINT} words=() word i
    # bash cuts words at = and : as well; what no blank parts is one word.
    for ((i = 0; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if [[ $i -eq 0 || $line == [[:blank:]]* ]]; then
            line=${line#"${line%%[![:blank:]]*}"}
            words+=("")
        fi
        ((i == COMP_CWORD)) && word=$line
        words[${#words[@]} - 1]+=$word
        line=${line#"$word"}
    done
    local cur=${words[${#words[@]} - 1]} piece=${COMP_WORDS[COMP_CWORD]}
    [[ $cur == *"$piece" ]] || piece=$cur
    [[ $piece == [=:] ]] && piece=
    local kept=${cur%"$piece"} text doc files= list=() docs=()
    COMPREPLY=()
    while IFS=$'\t' read -r text doc; do
        if [[ $text == :* ]]; then
            files=${text#:}
        elif [[ $text == "$cur"* ]]; then
            list+=("${text#"$kept"}")
            docs+=("$doc")
        fi
    done < <("${words[0]}" __complete -- "${words[@]:1}" 2>/dev/null)
    if [[ ${#list[@]} -gt 1 && $COMP_TYPE == 63 ]]; then
        # Tab Tab lists: then there is room for what they mean.
        local width=0
        for text in "${list[@]}"; do ((${#text} > width)) && width=${#text}; done
        for i in "${!list[@]}"; do
            text=${list[i]%$'\x1f'}
            doc=${docs[i]}
            ((${#doc} > ${COLUMNS:-80} - width - 6)) && doc=${doc:0:${COLUMNS:-80} - width - 7}…
            [[ -n $doc ]] && printf -v text '%-*s  (%s)' "$width" "$text" "$doc"
            COMPREPLY+=("$text")
        done
        return
    fi
    for text in "${list[@]}"; do
        if [[ $text == *$'\x1f' ]]; then
            text=${text%$'\x1f'}
            compopt -o nospace 2>/dev/null
        fi
        COMPREPLY+=("$(printf %q "$text")")
    done
    if [[ $files == files ]]; then
        compopt -o filenames 2>/dev/null
        while read -r text; do COMPREPLY+=("$text"); done < <(compgen -f -- "$piece")
    fi
}

complete -F __nsh_complete nsh
for __nsh_link in docker nerdctl; do
    [[ $(readlink -f "$(type -P $__nsh_link)" 2>/dev/null) == */nsh ]] && complete -F __nsh_complete $__nsh_link
done
unset __nsh_link
`

const zshCompletion = `#compdef nsh
# zsh completion for nsh: source <(nsh completion zsh), behind compinit

_nsh() {
    local line text doc files= full=$PREFIX
    local -a list open
    while IFS= read -r line; do
        text=${line%%$'\t'*} doc=${line#*$'\t'}
        if [[ $line == :* ]]; then
            files=${line#:}
        elif [[ $text == *$'\x1f' ]]; then
            open+=("${${text%$'\x1f'}//:/\\:}${doc:+:$doc}")
        else
            list+=("${text//:/\\:}${doc:+:$doc}")
        fi
    done < <("${words[1]}" __complete -- "${(@Q)words[2,CURRENT-1]}" "${(Q)full}" 2>/dev/null)
    local ret=1
    (($#list)) && _describe nsh list && ret=0
    (($#open)) && _describe nsh open -S '' && ret=0
    if [[ $files == files ]]; then
        compset -P '--[^=]#='
        _files && ret=0
    fi
    return ret
}

compdef _nsh nsh
for __nsh_link in docker nerdctl; do
    [[ ${${commands[$__nsh_link]}:A:t} == nsh ]] && compdef _nsh $__nsh_link
done
unset __nsh_link
`

const fishCompletion = `# fish completion for nsh: nsh completion fish | source

function __nsh_complete
    set -l words (commandline -opc)
    set -l cur (commandline -ct)
    set -l program $words[1]
    set -e words[1]
    for line in ($program __complete -- $words "$cur" 2>/dev/null)
        switch $line
            case ':files'
                set -l prefix (string match -r -- '^--[^=]+=' "$cur")
                __fish_complete_path (string replace -- "$prefix" '' "$cur") | string replace -r -- '^' "$prefix"
            case ':*'
            case '*'
                string replace -a \x1f '' -- $line
        end
    end
end

complete -c nsh -f -a '(__nsh_complete)'
for link in docker nerdctl
    if test (path basename (path resolve (command -s $link; or echo $link))) = nsh
        complete -c $link -f -a '(__nsh_complete)'
    end
end
`
