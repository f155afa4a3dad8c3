<?php

// A page behind Laravel's own session middleware, with the parts of Laravel that it takes and no more.

require 'Illuminate/Config/autoload.php';
require 'Illuminate/Container/autoload.php';
require 'Illuminate/Http/autoload.php';
require 'Illuminate/Session/autoload.php';
require 'Carbon/autoload.php';
require __DIR__ . '/PhpSessionHandler.php';

use App\Session\PhpSessionHandler;
use Illuminate\Config\Repository;
use Illuminate\Container\Container;
use Illuminate\Http\RedirectResponse;
use Illuminate\Http\Request;
use Illuminate\Http\Response;
use Illuminate\Session\Middleware\StartSession;
use Illuminate\Session\SessionManager;

// As config/session.php of a new project.
$session = [
    'driver' => getenv('SESSION_DRIVER'),
    'lifetime' => 120,
    'expire_on_close' => false,
    'encrypt' => false,
    'lottery' => [2, 100],
    'cookie' => 'laravel_session',
    'path' => '/laravel',
    'domain' => null,
    'secure' => null,
    'http_only' => true,
    'same_site' => 'lax',
];
$container = Container::getInstance();
$container->instance('config', new Repository(['session' => $session]));
$sessions = new SessionManager($container);
$sessions->extend('php', fn ($app) => new PhpSessionHandler($app['config']['session.lifetime']));

(new StartSession($sessions))->handle(Request::capture(), answer(...))->send();

function answer(Request $request): Response|RedirectResponse
{
    $session = $request->session();
    if (!$request->isMethod('POST')) {
        $shown = page($session->get('user'), $session->get('notes', []), array_filter([$session->get('notice')]));

        return new Response($shown);
    }
    if ($request->has('user')) {
        $session->regenerate(true);
        $session->put('user', $request->input('user'));
        $session->flash('notice', 'Welcome');
    } else {
        $session->push('notes', $request->input('note'));
    }

    return new RedirectResponse($request->fullUrl());
}

function page(?string $user, array $notes, array $notices): string
{
    return require __DIR__ . '/../notes.php';
}
