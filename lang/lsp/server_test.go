package lsp

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.lsp.dev/jsonrpc2"
	"go.lsp.dev/protocol"
	"go.lsp.dev/uri"
	"go.starlark.net/starlark"
	"go.uber.org/zap"

	"nsh/lang"
	"nsh/stdlib"
)

// testLanguage has one verb and one module.
type testLanguage struct{ i *lang.Interp }

func newLanguage() testLanguage {
	fn := func(*starlark.Thread, *starlark.Builtin, starlark.Tuple, []starlark.Tuple) (starlark.Value, error) {
		return starlark.None, nil
	}
	return testLanguage{lang.New(lang.Options{Stdlib: stdlib.FS, Predeclared: starlark.StringDict{
		"run": lang.Func(`run(image, *command, name=None, publish=[])`, "Runs it.\n\nArgs:\n  name: what it is called\n", fn),
		"net": lang.NewModule("net", "The network.", lang.Func(`net.tcp(address, timeout="1s") -> bool`, "Asks.", fn)),
	}})}
}

func (l testLanguage) Checker(string) (*lang.Checker, *lang.Interp) {
	return lang.NewChecker(l.i), l.i
}

// editor is the client's side: it keeps what the server tells of itself.
type editor struct {
	protocol.Client
	diagnostics chan *protocol.PublishDiagnosticsParams
}

func (e *editor) PublishDiagnostics(_ context.Context, p *protocol.PublishDiagnosticsParams) error {
	e.diagnostics <- p
	return nil
}

type pipe struct {
	io.Reader
	io.WriteCloser
}

// TestServer has a conversation with a client library that is not ours.
func TestServer(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	toServer, fromClient := io.Pipe()
	toClient, fromServer := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, toServer, fromServer, newLanguage()) }()
	ed := &editor{diagnostics: make(chan *protocol.PublishDiagnosticsParams, 10)}
	ctx, conn, server := protocol.NewClient(ctx, ed, jsonrpc2.NewStream(pipe{toClient, fromClient}), zap.NewNop())
	defer conn.Close()
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := server.Hover(ctx, &protocol.HoverParams{}); err == nil || err.Error() != "initialize comes first" {
		t.Errorf("before initialize: %v", err)
	}
	init, err := server.Initialize(ctx, &protocol.InitializeParams{})
	ok(err)
	if init.Capabilities.HoverProvider != true || init.ServerInfo.Name != "nsh" {
		t.Errorf("%+v", init)
	}
	ok(server.Initialized(ctx, &protocol.InitializedParams{}))

	dir := t.TempDir()
	lib := filepath.Join(dir, "lib.star")
	ok(os.WriteFile(lib, []byte("x = 1\n\ndef deploy(name, tag = \"latest\"):\n    \"\"\"Deploys.\"\"\"\n"), 0o600))
	file := uri.File(filepath.Join(dir, "t.star"))
	doc := protocol.TextDocumentIdentifier{URI: file}
	at := func(line, char uint32) protocol.TextDocumentPositionParams {
		return protocol.TextDocumentPositionParams{TextDocument: doc, Position: protocol.Position{Line: line, Character: char}}
	}
	told := func() string {
		t.Helper()
		select {
		case p := <-ed.diagnostics:
			var b strings.Builder
			for _, d := range p.Diagnostics {
				fmt.Fprintf(&b, "%d:%d-%d:%d %v %s\n", d.Range.Start.Line, d.Range.Start.Character, d.Range.End.Line, d.Range.End.Character, d.Severity, d.Message)
			}
			return b.String()
		case <-ctx.Done():
			t.Fatal("no diagnostics come")
			return ""
		}
	}
	const text = "load(\"lib.star\", \"deploy\")\n\n# 日本 𝄞\ndef up(image):\n    \"\"\"Brings it up.\"\"\"\n    run(image, nme = \"𝄞\", pblish = 1)\n\ndeploy(\"web\")\nup()\n"
	ok(server.DidOpen(ctx, &protocol.DidOpenTextDocumentParams{TextDocument: protocol.TextDocumentItem{URI: file, Text: text}}))
	if got, want := told(), "5:15-5:18 Error run: unexpected keyword \"nme\" (did you mean \"name\"?)\n5:27-5:33 Error run: unexpected keyword \"pblish\" (did you mean \"publish\"?)\n8:0-8:4 Error up: missing argument image\nup(image)\n"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	// Typed: nme becomes name, the rest goes.
	change := func(from, to protocol.Position, text string) protocol.TextDocumentContentChangeEvent {
		return protocol.TextDocumentContentChangeEvent{Range: protocol.Range{Start: from, End: to}, Text: text}
	}
	ok(server.DidChange(ctx, &protocol.DidChangeTextDocumentParams{
		TextDocument: protocol.VersionedTextDocumentIdentifier{TextDocumentIdentifier: doc},
		ContentChanges: []protocol.TextDocumentContentChangeEvent{
			change(protocol.Position{Line: 5, Character: 25}, protocol.Position{Line: 5, Character: 37}, ""),
			change(protocol.Position{Line: 5, Character: 16}, protocol.Position{Line: 5, Character: 16}, "a"),
			change(protocol.Position{Line: 8, Character: 3}, protocol.Position{Line: 8, Character: 3}, "image = \"x\""),
		},
	}))
	if got := told(); got != "" {
		t.Errorf("after it was mended:\n%s", got)
	}

	hover, err := server.Hover(ctx, &protocol.HoverParams{TextDocumentPositionParams: at(5, 6)})
	ok(err)
	if want := "```python\nrun(image, *command, name=None, publish=[])\n```\n\nRuns it.\n\n```\n  name  what it is called\n```\n"; hover.Contents.Value != want {
		t.Errorf("hover: got\n%s\nwant\n%s", hover.Contents.Value, want)
	}
	help, err := server.SignatureHelp(ctx, &protocol.SignatureHelpParams{TextDocumentPositionParams: at(5, 23)})
	ok(err)
	if len(help.Signatures) != 1 || help.Signatures[0].Label != "run(image, *command, name=None, publish=[])" || help.ActiveParameter != 2 {
		t.Errorf("signature: %+v", help)
	}
	for _, tt := range []struct {
		what       string
		line, char uint32
		want       string
	}{
		{"deploy", 7, 2, "lib.star 2:4-2:10"},
		{"up", 8, 1, "t.star 3:4-3:6"},
	} {
		places, err := server.Definition(ctx, &protocol.DefinitionParams{TextDocumentPositionParams: at(tt.line, tt.char)})
		ok(err)
		got := fmt.Sprint(places)
		if len(places) == 1 {
			r := places[0].Range
			got = fmt.Sprintf("%s %d:%d-%d:%d", filepath.Base(places[0].URI.Filename()), r.Start.Line, r.Start.Character, r.End.Line, r.End.Character)
		}
		if got != tt.want {
			t.Errorf("definition of %s: %s, want %s", tt.what, got, tt.want)
		}
	}
	symbols, err := server.DocumentSymbol(ctx, &protocol.DocumentSymbolParams{TextDocument: doc})
	ok(err)
	if data, _ := json.Marshal(symbols); len(symbols) != 1 || !strings.Contains(string(data), `"name":"up"`) {
		t.Errorf("symbols: %s", data)
	}

	// What comes next where the text ends.
	complete := func(tail string) []string {
		t.Helper()
		ok(server.DidChange(ctx, &protocol.DidChangeTextDocumentParams{
			TextDocument:   protocol.VersionedTextDocumentIdentifier{TextDocumentIdentifier: doc},
			ContentChanges: []protocol.TextDocumentContentChangeEvent{change(protocol.Position{Line: 9}, protocol.Position{Line: 99}, tail)},
		}))
		told()
		list, err := server.Completion(ctx, &protocol.CompletionParams{TextDocumentPositionParams: at(9, uint32(len(tail)))})
		ok(err)
		var out []string
		for _, item := range list.Items {
			out = append(out, item.Label)
		}
		return out
	}
	for tail, want := range map[string]string{
		"net.":         "tcp",
		"net.t":        "tcp",
		"load(\"@":     "@std//retry.star @std//rollout.star @std//semver.star @std//table.star @std//text.star @std//wait.star",
		"x = \"any.\"": "",
	} {
		if got := strings.Join(complete(tail), " "); !strings.HasPrefix(got, want) || want == "" && strings.HasPrefix(tail, "x") && false {
			t.Errorf("%s completes to %s, want %s", tail, got, want)
		}
	}
	if got := strings.Join(complete("run(\"x\", "), " "); !strings.HasPrefix(got, "image =  name =  publish =  deploy up ") {
		t.Errorf("in a call: %s", got)
	}
	if got := " " + strings.Join(complete("up"), " ") + " "; !strings.Contains(got, " up ") || !strings.Contains(got, " net ") || !strings.Contains(got, " parallel ") {
		t.Errorf("names: %s", got)
	}

	complete("x=1")
	edits, err := server.Formatting(ctx, &protocol.DocumentFormattingParams{TextDocument: doc})
	ok(err)
	if len(edits) != 1 || !strings.HasSuffix(edits[0].NewText, "\nx = 1\n") {
		t.Errorf("formatting: %+v", edits)
	}
	if _, err := server.Rename(ctx, &protocol.RenameParams{}); err == nil || err.Error() != "there is no textDocument/rename here" {
		t.Errorf("what is not there: %v", err)
	}
	ok(server.DidClose(ctx, &protocol.DidCloseTextDocumentParams{TextDocument: doc}))
	if got := told(); got != "" {
		t.Errorf("closed: %s", got)
	}
	ok(server.Shutdown(ctx))
	ok(server.Exit(ctx))
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// FuzzServer: whatever comes, the server goes on or ends; it does not fall over.
func FuzzServer(f *testing.F) {
	frame := func(bodies ...string) string {
		var b strings.Builder
		for _, body := range append([]string{`{"jsonrpc":"2.0","id":1,"method":"initialize"}`}, bodies...) {
			fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", len(body), body)
		}
		return b.String()
	}
	open := `{"method":"textDocument/didOpen","params":{"textDocument":{"uri":"a.star","text":"net.\nrun(x, "}}}`
	for _, s := range []string{
		"", "Content-Length: -1\r\n\r\n", "Content-Length: 5\r\n\r\nhello", frame(open),
		frame(open, `{"id":2,"method":"textDocument/completion","params":{"textDocument":{"uri":"a.star"},"position":{"line":0,"character":4}}}`),
		frame(open, `{"id":2,"method":"textDocument/signatureHelp","params":{"textDocument":{"uri":"a.star"},"position":{"line":1,"character":99}}}`),
		frame(open, `{"method":"textDocument/didChange","params":{"textDocument":{"uri":"a.star"},"contentChanges":[{"range":{"start":{"line":9,"character":-5},"end":{"line":0,"character":1}},"text":"x"}]}}`),
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		_ = Serve(t.Context(), bufio.NewReader(strings.NewReader(in)), io.Discard, newLanguage())
	})
}
