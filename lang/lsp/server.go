// Package lsp is a language server for scripts: LSP 3.17 over a stream, for any editor.
//
// It tells mistakes as nsh check does, completes names, attributes, keywords and modules,
// shows documentation, finds definitions, lists what a file defines, and formats. It runs
// nothing of what it reads, and asks no engine.
package lsp

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"slices"
	"strings"

	"nsh/lang"
	"nsh/lang/format"
	"nsh/runtime/fault"
)

// Language is what the server knows of scripts. It is used by one goroutine.
type Language interface {
	// Checker finds the mistakes of a file, and Interp has its names: those of a test
	// are others.
	Checker(path string) (*lang.Checker, *lang.Interp)
}

// server is one connection.
type server struct {
	lang Language
	out  *writer
	docs map[string]*document // by URI

	ready, ending bool
}

type document struct {
	path string
	text string
}

// Serve speaks to a client until it says exit, or the stream ends. The error is nil when
// the client has said shutdown before.
func Serve(ctx context.Context, in io.Reader, out io.Writer, language Language) error {
	s := &server{lang: language, out: &writer{w: out}, docs: map[string]*document{}}
	r := bufio.NewReader(in)
	for ctx.Err() == nil {
		m, err := read(r)
		switch {
		case errors.Is(err, errMessage):
			err = s.out.refuse(nil, codeParse, err.Error())
		case errors.Is(err, io.EOF) && s.ending:
			return nil
		case err != nil:
			return fault.Wrap(err, "read from", "the editor")
		case m.Method == "exit":
			if s.ending {
				return nil
			}
			return fault.New(fault.Cancelled, "the editor has gone")
		default:
			err = s.handle(m)
		}
		if err != nil {
			return fault.Wrap(err, "write to", "the editor")
		}
	}
	return ctx.Err()
}

// handle answers one message. What a client gets wrong is its answer, not our end.
func (s *server) handle(m *message) error {
	call, notification := calls[m.Method], notifications[m.Method]
	switch {
	case m.Method == "": // an answer to what we have not asked
		return nil
	case m.ID == nil && notification != nil:
		return notification(s, m.Params)
	case m.ID == nil:
		return nil // a notification that means nothing to us
	case call == nil:
		return s.out.refuse(m.ID, codeUnknownMethod, "there is no "+m.Method+" here")
	case !s.ready && m.Method != "initialize":
		return s.out.refuse(m.ID, codeNotInitialized, "initialize comes first")
	case s.ending:
		return s.out.refuse(m.ID, codeInvalidRequest, "the server is shut down")
	}
	result, err := call(s, m.Params)
	if err != nil {
		return s.out.refuse(m.ID, codeInvalidParams, err.Error())
	}
	return s.out.answer(m.ID, result)
}

var notifications = map[string]func(*server, json.RawMessage) error{
	"initialized":            func(*server, json.RawMessage) error { return nil },
	"textDocument/didOpen":   (*server).didOpen,
	"textDocument/didChange": (*server).didChange,
	"textDocument/didSave":   func(*server, json.RawMessage) error { return nil },
	"textDocument/didClose":  (*server).didClose,
}

var calls = map[string]func(*server, json.RawMessage) (any, error){
	"initialize":                  (*server).initialize,
	"shutdown":                    func(s *server, _ json.RawMessage) (any, error) { s.ending = true; return nil, nil },
	"textDocument/completion":     at((*server).completion),
	"textDocument/hover":          at((*server).hover),
	"textDocument/signatureHelp":  at((*server).signature),
	"textDocument/definition":     at((*server).definition),
	"textDocument/documentSymbol": at((*server).symbols),
	"textDocument/formatting":     at((*server).formatting),
}

type object = map[string]any

func (s *server) initialize(json.RawMessage) (any, error) {
	s.ready = true
	return object{
		"capabilities": object{
			"textDocumentSync":           object{"openClose": true, "change": 2},
			"completionProvider":         object{"triggerCharacters": []string{".", "\"", "/", "("}},
			"hoverProvider":              true,
			"signatureHelpProvider":      object{"triggerCharacters": []string{"(", ","}},
			"definitionProvider":         true,
			"documentSymbolProvider":     true,
			"documentFormattingProvider": true,
		},
		"serverInfo": object{"name": "nsh"},
	}, nil
}

// maxDocument bounds an open file, as a script is bounded.
const maxDocument = 4 << 20

func (s *server) didOpen(params json.RawMessage) error {
	var p struct {
		TextDocument struct{ URI, Text string }
	}
	if json.Unmarshal(params, &p) != nil || len(p.TextDocument.Text) > maxDocument {
		return nil
	}
	d := &document{path: filePath(p.TextDocument.URI), text: p.TextDocument.Text}
	s.docs[p.TextDocument.URI] = d
	return s.publish(p.TextDocument.URI, d)
}

func filePath(uri string) string {
	if u, err := url.Parse(uri); err == nil && u.Scheme == "file" {
		return u.Path
	}
	return uri
}

func (s *server) didChange(params json.RawMessage) error {
	var p struct {
		TextDocument   struct{ URI string }
		ContentChanges []struct {
			Range *span
			Text  string
		}
	}
	if json.Unmarshal(params, &p) != nil {
		return nil
	}
	d := s.docs[p.TextDocument.URI]
	if d == nil {
		return nil
	}
	for _, c := range p.ContentChanges {
		if c.Range == nil {
			d.text = c.Text
			continue
		}
		from, to := offset(d.text, c.Range.Start), offset(d.text, c.Range.End)
		if from <= to && len(d.text)+len(c.Text) <= maxDocument {
			d.text = d.text[:from] + c.Text + d.text[to:]
		}
	}
	return s.publish(p.TextDocument.URI, d)
}

func (s *server) didClose(params json.RawMessage) error {
	var p struct{ TextDocument struct{ URI string } }
	if json.Unmarshal(params, &p) != nil || s.docs[p.TextDocument.URI] == nil {
		return nil
	}
	delete(s.docs, p.TextDocument.URI)
	return s.diagnostics(p.TextDocument.URI, []object{})
}

// publish tells the mistakes of a file.
func (s *server) publish(uri string, d *document) error {
	checker, _ := s.lang.Checker(d.path)
	lines := strings.Split(d.text, "\n")
	list := []object{}
	for _, x := range checker.Check(d.path, []byte(d.text)) {
		severity := 1
		if x.Severity == lang.Warning {
			severity = 2
		}
		text := x.Message
		if x.Hint != "" {
			text += "\n" + x.Hint
		}
		list = append(list, object{"range": between(lines, x.Pos, x.End), "severity": severity, "code": x.Code, "source": "nsh", "message": text})
	}
	return s.diagnostics(uri, list)
}

func (s *server) diagnostics(uri string, list []object) error {
	params, err := json.Marshal(object{"uri": uri, "diagnostics": list})
	if err != nil {
		return err
	}
	return s.out.send(message{Method: "textDocument/publishDiagnostics", Params: params})
}

// spot is a place in an open file that something is asked about.
type spot struct {
	uri  string
	doc  *document
	at   int // offset in the text
	lang *lang.Interp
}

// at makes a call of a function about a place.
func at(fn func(*server, spot) (any, error)) func(*server, json.RawMessage) (any, error) {
	return func(s *server, params json.RawMessage) (any, error) {
		var p struct {
			TextDocument struct{ URI string }
			Position     position
		}
		if err := json.Unmarshal(params, &p); err != nil {
			return nil, err
		}
		d := s.docs[p.TextDocument.URI]
		if d == nil {
			return nil, fault.New(fault.NotFound, "%s is not open", p.TextDocument.URI)
		}
		_, i := s.lang.Checker(d.path)
		return fn(s, spot{p.TextDocument.URI, d, offset(d.text, p.Position), i})
	}
}

// The kinds of LSP's completion items and symbols.
const (
	itemFunction = 3
	itemField    = 5
	itemVariable = 6
	itemModule   = 9
	itemKeyword  = 14

	symbolFunction = 12
	symbolVariable = 13
)

func (s *server) completion(p spot) (any, error) {
	items := []object{}
	add := func(label, insert string, kind int, detail string) {
		item := object{"label": label, "kind": kind, "detail": detail}
		if insert != label {
			item["insertText"] = insert
		}
		items = append(items, item)
	}
	before := p.doc.text[:p.at]
	if text, inside := inString(before); inside {
		if fn, argument, _ := openCall(before[:len(before)-len(text)-1]); fn == "load" && argument == 0 {
			for _, m := range p.lang.StdModules() {
				add(m.Name, m.Name, itemModule, m.Doc)
			}
		}
		return object{"isIncomplete": false, "items": items}, nil
	}
	_, name := dotted(p.doc.text, p.at)
	if dot := strings.LastIndexByte(name, '.'); dot >= 0 {
		for _, m := range p.lang.Members(name[:dot]) {
			add(m.Name, m.Name, itemField, m.Doc)
		}
		return object{"isIncomplete": false, "items": items}, nil
	}
	symbols := p.lang.Outline(p.doc.path, []byte(p.doc.text))
	if fn, _, _ := openCall(before); fn != "" {
		if d := docOf(p.lang, symbols, fn); d != nil {
			for _, q := range d.Params {
				if !q.Variadic && !q.Extra {
					add(q.Name+" = ", q.Name+" = ", itemKeyword, q.Doc)
				}
			}
		}
	}
	seen := map[string]bool{}
	for _, y := range symbols {
		kind, detail := itemVariable, ""
		if y.Doc != nil {
			kind, detail = itemFunction, y.Doc.Short
		}
		if !seen[y.Name] {
			seen[y.Name] = true
			add(y.Name, y.Name, kind, detail)
		}
	}
	for _, n := range p.lang.Names() {
		if !seen[n] {
			seen[n] = true
			add(n, n, itemFunction, p.lang.Brief(n))
		}
	}
	return object{"isIncomplete": false, "items": items}, nil
}

// docOf is the documentation of a name: of the file's own functions first.
func docOf(i *lang.Interp, symbols []lang.Symbol, name string) *lang.Doc {
	for n := len(symbols) - 1; n >= 0; n-- {
		if symbols[n].Name == name {
			return symbols[n].Doc
		}
	}
	return i.DocOf(name)
}

func markdown(text string) object { return object{"kind": "markdown", "value": text} }

func (s *server) hover(p spot) (any, error) {
	name, _ := dotted(p.doc.text, p.at)
	if d := docOf(p.lang, p.lang.Outline(p.doc.path, []byte(p.doc.text)), name); d != nil {
		_, text, _ := strings.Cut(d.Text(), "\n")
		return object{"contents": markdown("```python\n" + d.Signature() + "\n```\n" + code(text))}, nil
	}
	if text := p.lang.Help(name); text != "" {
		return object{"contents": markdown("```\n" + text + "```")}, nil
	}
	return nil, nil
}

// code keeps the lined-up parts of a help text as they are.
func code(text string) string {
	var b strings.Builder
	inside := false
	for line := range strings.Lines(text) {
		if indented := strings.HasPrefix(line, "  "); indented != inside && strings.TrimSpace(line) != "" {
			b.WriteString("```\n")
			inside = indented
		}
		b.WriteString(line)
	}
	if inside {
		b.WriteString("```\n")
	}
	return b.String()
}

func (s *server) signature(p spot) (any, error) {
	fn, argument, keyword := openCall(p.doc.text[:p.at])
	if fn == "" {
		return nil, nil
	}
	d := docOf(p.lang, p.lang.Outline(p.doc.path, []byte(p.doc.text)), fn)
	if d == nil {
		return nil, nil
	}
	params := []object{}
	active := min(argument, max(len(d.Params)-1, 0))
	for n, q := range d.Params {
		params = append(params, object{"label": q.Name, "documentation": q.Doc})
		if q.Name == keyword || keyword == "" && q.Variadic && n <= argument {
			active = n
		}
	}
	return object{
		"signatures":      []object{{"label": d.Signature(), "documentation": d.Short, "parameters": params}},
		"activeSignature": 0, "activeParameter": active,
	}, nil
}

func (s *server) definition(p spot) (any, error) {
	name, _ := dotted(p.doc.text, p.at)
	symbols := p.lang.Outline(p.doc.path, []byte(p.doc.text))
	i := slices.IndexFunc(symbols, func(y lang.Symbol) bool { return y.Name == name })
	if i < 0 {
		return nil, nil
	}
	y := symbols[i]
	uri, text := p.uri, p.doc.text
	if y.Path != p.doc.path {
		if strings.HasPrefix(y.Path, "@") {
			return nil, nil // it is inside of nsh
		}
		uri, text = (&url.URL{Scheme: "file", Path: y.Path}).String(), y.Source
	}
	return []object{{"uri": uri, "range": between(strings.Split(text, "\n"), y.Pos, y.End)}}, nil
}

func (s *server) symbols(p spot) (any, error) {
	lines := strings.Split(p.doc.text, "\n")
	out := []object{}
	for _, y := range p.lang.Outline(p.doc.path, []byte(p.doc.text)) {
		if y.Path != p.doc.path {
			continue
		}
		kind := symbolVariable
		if y.Doc != nil {
			kind = symbolFunction
		}
		r := between(lines, y.Pos, y.End)
		out = append(out, object{"name": y.Name, "kind": kind, "range": r, "selectionRange": r})
	}
	return out, nil
}

func (s *server) formatting(p spot) (any, error) {
	out, err := format.Source(p.doc.path, []byte(p.doc.text))
	if err != nil {
		return nil, err
	}
	if string(out) == p.doc.text {
		return []object{}, nil
	}
	last := strings.Count(p.doc.text, "\n") + 1
	return []object{{"range": span{End: position{Line: last}}, "newText": string(out)}}, nil
}
